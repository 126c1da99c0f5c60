"""The series and labels that a PromQL expression names: a tokeniser, not a parser (Prometheus itself parses)."""

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)"""
    r"|(?P<number>(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?[a-z]*|\.\d+)+)"
    r"|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<other>\S)"
)
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}
AGGREGATIONS = {"sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values"}


@dataclass
class Names:
    """What an expression names."""

    selectors: list = field(default_factory=list)  # (metric, its matchers as text, labels that they match)
    grouping: set = field(default_factory=set)  # labels of by, on, group_left and the like


def names(expr):
    """The series and labels of `expr`."""
    tokens = [(match.lastgroup, match.group()) for match in TOKEN.finditer(expr)] + [("end", "")]
    found, at = Names(), 0
    while tokens[at][0] != "end":
        kind, text = tokens[at]
        following = tokens[at + 1][1]
        at += 1
        if kind != "name":
            continue
        if text in GROUPING and following == "(":
            at += 1
            while tokens[at][1] != ")":
                if tokens[at][0] == "name":
                    found.grouping.add(tokens[at][1])
                at += 1
        elif following != "(" and text.lower() not in WORDS | AGGREGATIONS | GROUPING:
            matchers, labels = "", set()
            if following == "{":
                while tokens[at][1] != "}":
                    if tokens[at][0] == "name":
                        labels.add(tokens[at][1])
                    matchers += tokens[at][1]
                    at += 1
                matchers += "}"
            found.selectors.append((text, matchers, labels))
    return found
