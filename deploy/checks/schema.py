#!/usr/bin/env python3
"""Holds dashboards against Grafana's own schema: every key must exist there, and every value have its type.

    python deploy/checks/schema.py DASHBOARD.json ...

Needs Python 3.11 and grafana-foundation-sdk, whose classes are generated from the schemas of Grafana, its panels and data
sources. They check nothing by themselves, so their type hints are followed here. Prints a line for everything that does not
conform, and exits with 1 if there is any.
"""

import enum
import importlib.util
import inspect
import json
import re
import sys
import typing
from pathlib import Path

MODELS = "grafana_foundation_sdk.models"
# Keys that Grafana reads and its schema does not know, by the class that has them.
BESIDE_THE_SCHEMA = {
    # Of annotations from Prometheus: how often it is asked, and how an event is titled, described and tagged.
    "AnnotationQuery": {"step": str, "tagKeys": str, "textFormat": str, "titleFormat": str},
    # What Grafana's editor writes beside a query.
    "VariableModel": {"definition": str},
}


def model(name):
    """The classes of a panel's kind, a data source, or of dashboards; None where Grafana has none of that name."""
    found = importlib.util.find_spec(f"{MODELS}.{name}")
    return found and importlib.import_module(found.name)


DASHBOARD = model("dashboard")
OPEN_QUERY = importlib.import_module("grafana_foundation_sdk.cog.variants").Dataquery


def told(value):
    """A value as a message shows it: a whole panel would fill the screen."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def problems(value, hint, where):
    """What in `value` does not conform to the type `hint`; a list of texts."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    # A query of any data source is left open as an object is; `of_its_kind` follows both.
    if hint is object or hint is OPEN_QUERY:
        return []
    if origin is typing.Union:
        if value is None and type(None) in arguments:
            return []
        # The alternative that comes closest says best what is wrong.
        return min((problems(value, each, where) for each in arguments if each is not type(None)), key=len)
    if origin is typing.Literal:
        return [] if value in arguments else [f"{where}: {told(value)} is none of {arguments}"]
    if origin in (list, dict):
        if not isinstance(value, origin):
            return [f"{where}: {told(value)} is no {origin.__name__}"]
        items = value.items() if origin is dict else enumerate(value)
        return [found for key, item in items for found in problems(item, arguments[-1], f"{where}.{key}")]
    if issubclass(hint, enum.Enum):
        known = [member.value for member in hint]
        return [] if value in known and not isinstance(value, bool) else [f"{where}: {told(value)} is none of {known}"]
    if hasattr(hint, "from_json"):
        return members(value, hint, where)
    # To Python a bool is an int, to Grafana it is not.
    right = isinstance(value, (int, float) if hint is float else hint) and (hint is bool or not isinstance(value, bool))
    return [] if right else [f"{where}: {told(value)} is no {hint.__name__}"]


def members(value, kind, where):
    """The same for an object of a class."""
    if not isinstance(value, dict):
        return [f"{where}: {told(value)} is no {kind.__name__}"]
    found = []
    for key, item in value.items():
        hint = hint_of(kind, key)
        found += [f"{where}: {kind.__name__} has no {key!r}"] if hint is None else problems(item, hint, f"{where}.{key}")
    return found + (of_its_kind(value, where) if kind is DASHBOARD.Panel else [])


def hint_of(kind, key):
    """The type of a key of the JSON in a class, which spells it in Python's way; None where it has none."""
    beside = BESIDE_THE_SCHEMA.get(kind.__name__, {}).get(key)
    name = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", key)
    hints = typing.get_type_hints(kind)
    # "type" and other words of Python's own have a suffix.
    name = name if name in hints else f"{name}_val"
    if beside or name not in hints:
        return beside
    # What a class cannot be told is a constant, by which the alternatives of a union are told apart.
    told_to_it = inspect.signature(kind).parameters
    return hints[name] if name in told_to_it else typing.Literal[str(getattr(kind(), name))]


def of_its_kind(panel, where):
    """What the schema of dashboards leaves to those of the panel's kind and of its data source."""
    kind, data_source = panel.get("type"), (panel.get("datasource") or {}).get("type")
    own, source = model(kind), model(data_source)
    if own is None or source is None:
        return [f"{where}: Grafana has no panel {kind!r}, or no data source {data_source!r}"]
    found = problems(panel.get("options"), own.Options, f"{where}.options")
    found += problems(panel.get("targets"), list[source.Dataquery], f"{where}.targets")
    config = panel.get("fieldConfig", {})
    if "custom" in config.get("defaults", {}):
        found += problems(config["defaults"]["custom"], own.FieldConfig, f"{where}.custom")
    for override in config.get("overrides", []):
        for changed in override["properties"]:
            part, _, key = changed["id"].rpartition(".")
            hint = hint_of(own.FieldConfig if part == "custom" else DASHBOARD.FieldConfig, key)
            inside = f"{where}.overrides.{changed['id']}"
            found += [f"{inside}: no such property"] if hint is None else problems(changed["value"], hint, inside)
    return found


def main():
    wrong = [found for path in map(Path, sys.argv[1:])
             for found in problems(json.loads(path.read_text()), DASHBOARD.Dashboard, path.name)]
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
