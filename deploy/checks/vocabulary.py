"""Which series and labels exist: from docs/METRICS.md, the rules and what Prometheus adds."""

import re

from .promql import names

TARGET = {"job", "instance"}
# Served at /windows, each with the label domain.
WINDOWS = {
    f"jdcloud_cdn_window_{name}": {"domain"}
    for name in ("bandwidth_bytes_per_second", "flow_bytes", "origin_bandwidth_bytes_per_second",
                 "edge_bandwidth_bytes_per_second", "origin_ratio")
}
# Of the levels of our recording rules' names.
LEVELS = {"domain": {"domain"}, "fleet": set(), "jdcloud_cdn": {"domain"}}


def documented(markdown):
    """Series -> labels, from the tables of docs/METRICS.md."""
    known = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (gauge|counter|histogram)[^|]*\|([^|]*)\|", markdown, re.M):
        own = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            known |= {f"{name}_sum": own, f"{name}_count": own, f"{name}_bucket": own | {"le"}}
        else:
            known[name] = own
    return known


def vocabulary(markdown, rules):
    """Series -> labels of all that may be asked for. `rules` are those of Prometheus' API."""
    known = {**WINDOWS, **documented(markdown)}
    known = {name: labels | TARGET for name, labels in known.items()}
    for rule in rules:
        if rule["type"] == "recording":
            known[rule["name"]] = LEVELS[rule["name"].split(":")[0]]
    known["up"] = TARGET
    known["ALERTS"] = TARGET | {"alertname", "alertstate", "severity", "domain", "account", "endpoint", "reason"}
    return known


def strangers(expr, known, shown=()):
    """What `expr`, or the labels `shown` in its legend, name that does not exist; a list of texts."""
    found, wrong, labels = names(expr), [], set()
    for metric, _, matched in found.selectors:
        if metric not in known:
            wrong.append(f"no series {metric}")
            continue
        labels |= known[metric]
        wrong += [f"{metric} has no label {label}" for label in sorted(matched - known[metric])]
    return wrong + [f"no label {label}" for label in sorted((found.grouping | set(shown)) - labels)]
