#!/usr/bin/env python3
"""Writes the three dashboards in dashboards/ from the plain description below.

    deploy/grafana/generate.py            write them
    deploy/grafana/generate.py --check    exit with 1 when a committed file differs from what would be written

Edit here, never the JSON. Needs Python 3.9 and its standard library only; the same source gives the same bytes.
"""

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

DASHBOARDS = Path(__file__).resolve().parent / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The base of the links to the runbooks: the value of the hidden variable "runbooks". The compose set
# serves docs/runbooks there; put the address of your own copy.
RUNBOOKS = "/public/runbooks"
WIDTH = 24

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
# Colours of an origin ratio: yellow at half the alert's limit, red at the limit (rules.yml, origin_ratio_high).
RATIO = [(None, GREEN), (0.15, YELLOW), (0.3, RED)]
ANY_IS_RED = [(None, GREEN), (1, RED)]
ONE_IS_GREEN = [(None, RED), (1, GREEN)]


@dataclass
class Query:
    """One PromQL expression and the legend of its series."""

    expr: str
    legend: str = ""


@dataclass
class Panel:
    """One panel: what it is called, what it means, what it asks, how it is drawn."""

    title: str
    description: str
    queries: list
    kind: str = "timeseries"  # or stat, table
    unit: str = "short"
    width: int = 12
    height: int = 8
    thresholds: list = field(default_factory=lambda: [(None, GREEN)])
    stack: bool = False
    minimum: Optional[float] = 0
    runbook: str = ""
    # Of a table: column name -> (title, unit), in the order shown; a column is a label or a query's legend.
    columns: dict = field(default_factory=dict)
    mappings: dict = field(default_factory=dict)  # value -> (text, colour)


@dataclass
class Row:
    """A heading over panels."""

    title: str
    panels: list


def stat(title, description, expr, unit, **more):
    return Panel(title, description, [Query(expr)], kind="stat", unit=unit, width=more.pop("width", 4), height=4, **more)


# --- The dashboards ------------------------------------------------------------------------------------

LATE = "Windows are shown once settled, so this was measured 10 to 15 minutes ago."
UP_DOWN = {"0": ("failing", RED), "1": ("good", GREEN)}
ALERT_TABLE = Panel(
    "Firing alerts",
    "Alerts of the rules file that fire now. Each has a page of the alert's name under docs/runbooks.",
    [Query('ALERTS{alertname=~"JdcloudCdn.*",alertstate="firing"}', "Value")],
    kind="table",
    columns={
        "alertname": ("Alert", ""),
        "severity": ("Severity", ""),
        "domain": ("Domain", ""),
        "account": ("Account", ""),
        "endpoint": ("Endpoint", ""),
    },
)

FLEET = [
    Row("Now", [
        stat("Bandwidth", f"Bandwidth of all domains together. {LATE}",
             "sum(domain:jdcloud_cdn_bandwidth_bits_per_second:max{domain=~\"$domain\"})", "bps"),
        stat("From the origin", f"Bandwidth that the CDN fetches from all origins together. {LATE}",
             "sum(domain:jdcloud_cdn_origin_bandwidth_bits_per_second:max{domain=~\"$domain\"})", "bps",
             runbook="origin-bandwidth-high"),
        stat("Origin ratio", f"Origin bandwidth divided by edge bandwidth, from the sums over the domains. {LATE}",
             "sum(domain:jdcloud_cdn_origin_bandwidth_bits_per_second:max{domain=~\"$domain\"})"
             " / sum(domain:jdcloud_cdn_edge_bandwidth_bits_per_second:max{domain=~\"$domain\"})",
             "percentunit", thresholds=RATIO, runbook="origin-ratio-high"),
        stat("Volume of 24 hours", "Bytes delivered in the last 24 hours, from the mean bandwidth. An estimate: the exact "
             "figure needs the job jdcloud-cdn-windows.",
             "sum(domain:jdcloud_cdn_volume_bytes:1d{domain=~\"$domain\"})", "decbytes"),
        stat("95th percentile", "95th percentile of the bandwidth of the whole fleet over the last 24 hours; it does not "
             "follow the choice of domains.",
             "fleet:jdcloud_cdn_bandwidth_bits_per_second:p95_1d", "bps"),
        stat("Domains without data", "Domains of which the last poll of at least one endpoint gave nothing usable.",
             "count(count by (domain) (max by (domain, endpoint) (jdcloud_cdn_up{domain=~\"$domain\"}) == 0)) or vector(0)",
             "short", thresholds=ANY_IS_RED, runbook="domain-data-stale"),
    ]),
    Row("Over time", [
        Panel("Bandwidth by domain", f"Stacked bandwidth of the 15 largest domains at each moment. {LATE}",
              [Query("topk(15, domain:jdcloud_cdn_bandwidth_bits_per_second:max{domain=~\"$domain\"})", "{{domain}}")],
              unit="bps", stack=True),
        Panel("Edge and origin", f"What the edge delivered, and what of it was fetched from the origin. {LATE}",
              [Query("sum(domain:jdcloud_cdn_edge_bandwidth_bits_per_second:max{domain=~\"$domain\"})", "edge"),
               Query("sum(domain:jdcloud_cdn_origin_bandwidth_bits_per_second:max{domain=~\"$domain\"})", "origin")],
              unit="bps"),
        Panel("Origin ratio by domain", f"The 10 highest ratios of domains above the minimum of traffic, and that of "
              f"the whole fleet. {LATE}",
              [Query("topk(10, domain:jdcloud_cdn_origin_ratio:max{domain=~\"$domain\"} and"
                     " domain:jdcloud_cdn_edge_bandwidth_bits_per_second:max"
                     " > domain:jdcloud_cdn_threshold_minimum_traffic_bits_per_second)", "{{domain}}"),
               Query("fleet:jdcloud_cdn_origin_ratio:ratio_of_sums", "fleet")],
              unit="percentunit", thresholds=RATIO, runbook="origin-ratio-spike"),
        Panel("Origin bandwidth by domain", f"Which origin bears how much: the 10 largest. {LATE}",
              [Query("topk(10, domain:jdcloud_cdn_origin_bandwidth_bits_per_second:max{domain=~\"$domain\"})", "{{domain}}")],
              unit="bps", stack=True, runbook="origin-bandwidth-high"),
    ]),
    Row("Domains", [
        Panel("Domains", f"Every domain: click its name for its own dashboard. {LATE}",
              [Query("domain:jdcloud_cdn_bandwidth_bits_per_second:max{domain=~\"$domain\"}", "bandwidth"),
               Query("domain:jdcloud_cdn_origin_bandwidth_bits_per_second:max{domain=~\"$domain\"}", "origin"),
               Query("domain:jdcloud_cdn_origin_ratio:max{domain=~\"$domain\"}", "ratio"),
               Query("domain:jdcloud_cdn_volume_bytes:1d{domain=~\"$domain\"}", "volume"),
               Query("time() - min by (domain) (max by (domain, endpoint)"
                     " (jdcloud_cdn_sample_timestamp_seconds{domain=~\"$domain\"}))", "age")],
              kind="table", width=16, height=12,
              columns={"domain": ("Domain", ""), "bandwidth": ("Bandwidth", "bps"), "origin": ("From origin", "bps"),
                       "ratio": ("Origin ratio", "percentunit"), "volume": ("24 hours", "decbytes"),
                       "age": ("Age of the window", "s")}),
        replace(ALERT_TABLE, width=8, height=12),
    ]),
]

DOMAIN = [
    Row("Now", [
        stat("Bandwidth", f"Mean over the newest settled window. {LATE}",
             "domain:jdcloud_cdn_bandwidth_bits_per_second:max{domain=\"$domain\"}", "bps"),
        stat("From the origin", f"What the CDN fetches from this domain's origin. {LATE}",
             "domain:jdcloud_cdn_origin_bandwidth_bits_per_second:max{domain=\"$domain\"}", "bps",
             runbook="origin-bandwidth-high"),
        stat("Origin ratio", f"The provider's own figure for the newest settled window. {LATE}",
             "domain:jdcloud_cdn_origin_ratio:max{domain=\"$domain\"}", "percentunit", thresholds=RATIO,
             runbook="origin-ratio-spike"),
        stat("Volume of 24 hours", "Bytes delivered in the last 24 hours, from the mean bandwidth.",
             "domain:jdcloud_cdn_volume_bytes:1d{domain=\"$domain\"}", "decbytes"),
        stat("95th percentile", "95th percentile of the bandwidth over the last 24 hours.",
             "domain:jdcloud_cdn_bandwidth_bits_per_second:p95_1d{domain=\"$domain\"}", "bps"),
        stat("Age of the window", "Time since the end of the window that is shown, the older one of the two endpoints. 10 "
             "to 16 minutes are normal.",
             "time() - min(max by (endpoint) (jdcloud_cdn_sample_timestamp_seconds{domain=\"$domain\"}))", "s",
             thresholds=[(None, GREEN), (1200, YELLOW), (2400, RED)], runbook="domain-data-stale"),
    ]),
    Row("Traffic", [
        Panel("Bandwidth against yesterday and last week", f"15-minute means at the same time of day, as the alerts on "
              f"collapse and surge compare them. {LATE}",
              [Query("domain:jdcloud_cdn_bandwidth_bits_per_second:avg15m{domain=\"$domain\"}", "now"),
               Query("domain:jdcloud_cdn_bandwidth_bits_per_second:avg15m{domain=\"$domain\"} offset 1d", "yesterday"),
               Query("domain:jdcloud_cdn_bandwidth_bits_per_second:avg15m{domain=\"$domain\"} offset 1w", "last week")],
              unit="bps", runbook="traffic-collapse"),
        Panel("Edge and origin", f"What the edge delivered, what was fetched from the origin, and the origin's limit. {LATE}",
              [Query("domain:jdcloud_cdn_edge_bandwidth_bits_per_second:max{domain=\"$domain\"}", "edge"),
               Query("domain:jdcloud_cdn_origin_bandwidth_bits_per_second:max{domain=\"$domain\"}", "origin"),
               Query("domain:jdcloud_cdn_threshold_origin_bandwidth_bits_per_second{domain=\"$domain\"}", "limit")],
              unit="bps", runbook="origin-bandwidth-high"),
        Panel("Origin ratio", f"The ratio, its own mean of the last 6 hours that a spike is measured against, and the "
              f"limit for long. {LATE}",
              [Query("domain:jdcloud_cdn_origin_ratio:max{domain=\"$domain\"}", "ratio"),
               Query("domain:jdcloud_cdn_origin_ratio:baseline6h{domain=\"$domain\"}", "mean of 6 hours"),
               Query("domain:jdcloud_cdn_threshold_origin_ratio_high{domain=\"$domain\"}", "limit")],
              unit="percentunit", thresholds=RATIO, runbook="origin-ratio-spike"),
        Panel("Bytes in each window", f"Bytes delivered in the newest settled 5-minute window. {LATE}",
              [Query("max(jdcloud_cdn_flow_bytes{domain=\"$domain\"})", "bytes in 5 minutes")], unit="decbytes"),
    ]),
    Row("Data", [
        Panel("Bandwidth at its true time", "Every settled window at its own timestamp, complete through outages. Needs the "
              "job jdcloud-cdn-windows; the newest 15 minutes are not there yet.",
              [Query("max(jdcloud_cdn_window_bandwidth_bytes_per_second{domain=\"$domain\"}) * 8", "bandwidth")], unit="bps"),
        Panel("Usable answers", "1 while the last poll of the endpoint gave a usable answer, else 0.",
              [Query("max by (endpoint) (jdcloud_cdn_up{domain=\"$domain\"})", "{{endpoint}}")],
              runbook="domain-data-stale", thresholds=ONE_IS_GREEN),
    ]),
]

ME = "{instance=~\"$instance\"}"
EXPORTER = [
    Row("Now", [
        stat("Scrapes", "Whether Prometheus reaches the exporter.",
             "min(up{job=~\".*jdcloud-cdn.*\",instance=~\"$instance\"})", "short", thresholds=ONE_IS_GREEN,
             mappings=UP_DOWN, runbook="exporter-down"),
        stat("Configuration", "Whether the last load of the configuration succeeded.",
             f"min(jdcloud_cdn_exporter_config_last_reload_successful{ME})", "short", thresholds=ONE_IS_GREEN,
             mappings={"0": ("refused", RED), "1": ("good", GREEN)}, runbook="config-reload-failed"),
        stat("Oldest success", "Time since the last successful request of the account and endpoint that waits longest.",
             f"time() - min(max by (account, endpoint) (jdcloud_cdn_exporter_last_success_timestamp_seconds{ME}))", "s",
             thresholds=[(None, GREEN), (300, YELLOW), (600, RED)], runbook="endpoint-failing"),
        stat("Failed requests", "Share of the requests to the provider that gave no usable reply.",
             f"sum(rate(jdcloud_cdn_exporter_api_request_failures_total{ME}[$__rate_interval]))"
             f" / sum(rate(jdcloud_cdn_exporter_api_requests_total{ME}[$__rate_interval]))", "percentunit",
             thresholds=[(None, GREEN), (0.01, YELLOW), (0.2, RED)], runbook="endpoint-failing"),
        stat("Clock difference", "The provider's clock minus this machine's. Some seconds do no harm; a wrong day breaks every "
             "signature.",
             f"max(jdcloud_cdn_exporter_provider_clock_skew_seconds{ME})", "s", minimum=None,
             runbook="signature-refused"),
        stat("Memory", "Resident memory, the largest of the chosen instances.",
             f"max(process_resident_memory_bytes{{job=~\".*jdcloud-cdn.*\",instance=~\"$instance\"}})", "bytes"),
    ]),
    Row("Requests to the provider", [
        Panel("Requests", "HTTP requests to the provider per second, retries included.",
              [Query(f"sum by (endpoint) (rate(jdcloud_cdn_exporter_api_requests_total{ME}[$__rate_interval]))", "{{endpoint}}"),
               Query(f"sum by (endpoint) (rate(jdcloud_cdn_exporter_api_retries_total{ME}[$__rate_interval]))",
                     "retries of {{endpoint}}")], unit="reqps"),
        Panel("Failures by reason", "Requests per second that gave no usable reply. docs/METRICS.md explains each reason.",
              [Query(f"sum by (endpoint, reason) (rate(jdcloud_cdn_exporter_api_request_failures_total{ME}[$__rate_interval]))"
                     " > 0 or sum by (endpoint)"
                     f" (rate(jdcloud_cdn_exporter_api_request_failures_total{ME}[$__rate_interval]))",
                     "{{endpoint}} {{reason}}")], unit="reqps", runbook="endpoint-failing"),
        Panel("Time of a request", "Median and 99th percentile from sending a request to its last byte or failure.",
              [Query(f"histogram_quantile({quantile}, sum by (endpoint, le)"
                     f" (rate(jdcloud_cdn_exporter_api_request_duration_seconds_bucket{ME}[$__rate_interval])))",
                     f"{name} {{{{endpoint}}}}") for quantile, name in ((0.5, "median"), (0.99, "p99"))], unit="s"),
        Panel("Allowed requests", "Requests per second that the exporter allows itself; halved when the provider throttles, "
              "it recovers slowly.",
              [Query(f"min by (instance, account) (jdcloud_cdn_exporter_api_request_rate_limit_per_second{ME})",
                     "{{account}} {{instance}}")], unit="reqps", runbook="rate-limited"),
    ]),
    Row("Polls and windows", [
        Panel("Polls", "Polls (one batch of domains each) that ended per second, and those that were due while the previous "
              "one was still under way.",
              [Query(f"sum by (endpoint) (rate(jdcloud_cdn_exporter_polls_total{ME}[$__rate_interval]))", "{{endpoint}}"),
               Query(f"sum by (endpoint) (rate(jdcloud_cdn_exporter_poll_overruns_total{ME}[$__rate_interval]))",
                     "overruns of {{endpoint}}")], unit="ops"),
        Panel("Time of a poll", "99th percentile of the time that one poll took, retries and pauses included.",
              [Query(f"histogram_quantile(0.99, sum by (endpoint, le)"
                     f" (rate(jdcloud_cdn_exporter_poll_duration_seconds_bucket{ME}[$__rate_interval])))", "{{endpoint}}")],
              unit="s"),
        Panel("Delay of windows", "How long after its end a window was first seen, over the range shown: the 99th percentile says "
              "what poll.settle must be at least.",
              [Query(f"histogram_quantile({quantile}, sum by (endpoint, le)"
                     f" (rate(jdcloud_cdn_exporter_window_delay_seconds_bucket{ME}[$__range])))",
                     f"{name} {{{{endpoint}}}}") for quantile, name in ((0.5, "median"), (0.99, "p99"))], unit="s"),
        Panel("Missing and revised windows", "Settled windows that the provider has not given, and changes of the last hour "
              "that came after a window was shown. If the latter grows steadily, raise poll.settle.",
              [Query(f"sum by (endpoint) (jdcloud_cdn_exporter_windows_missing{ME})", "missing of {{endpoint}}"),
               Query(f"sum by (endpoint) (increase(jdcloud_cdn_exporter_windows_revised_total{ME}[1h]))",
                     "revised of {{endpoint}}")], runbook="domain-data-stale"),
        Panel("Age of revisions", "How long after its end a window still changed, 99th percentile over the range shown.",
              [Query(f"histogram_quantile(0.99, sum by (endpoint, le)"
                     f" (rate(jdcloud_cdn_exporter_window_revision_age_seconds_bucket{ME}[$__range])))", "{{endpoint}}")],
              unit="s"),
        Panel("Rejected parts of replies", "Values, times, rows and domains per second that were refused in otherwise good replies.",
              [Query(f"sum by (endpoint, reason) (rate(jdcloud_cdn_exporter_rejects_total{ME}[$__rate_interval]))",
                     "{{endpoint}} {{reason}}")], unit="ops"),
    ]),
    Row("Process", [
        Panel("CPU", "Share of one core.",
              [Query("rate(process_cpu_seconds_total{job=~\".*jdcloud-cdn.*\",instance=~\"$instance\"}[$__rate_interval])",
                     "{{instance}}")], unit="percentunit", width=8),
        Panel("Open file descriptors", "Open descriptors and their limit.",
              [Query("process_open_fds{job=~\".*jdcloud-cdn.*\",instance=~\"$instance\"}", "{{instance}}"),
               Query("process_max_fds{job=~\".*jdcloud-cdn.*\",instance=~\"$instance\"}", "limit of {{instance}}")], width=8),
        Panel("Builds", "What each instance was built from.",
              [Query(f"max by (instance, version, revision, rustc) (jdcloud_cdn_exporter_build_info{ME})", "Value")],
              kind="table", width=8,
              columns={"instance": ("Instance", ""), "version": ("Version", ""), "revision": ("Revision", ""),
                       "rustc": ("Compiler", "")}),
        replace(ALERT_TABLE, width=24),
    ]),
]


# --- From the description to Grafana's JSON ---------------------------------------------------------------

def query_variable(name, label, query, many):
    variable = {
        "type": "query", "name": name, "label": label, "datasource": DATASOURCE, "definition": query,
        "query": {"query": query, "refId": f"{name}Variable"}, "refresh": 2, "sort": 1, "hide": 0, "regex": "",
        "multi": many, "includeAll": many, "options": [], "current": {},
    }
    if many:
        variable |= {"allValue": ".+", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return variable


def variables(own):
    return [
        {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1,
         "hide": 0, "regex": "", "multi": False, "includeAll": False, "options": [], "current": {}},
        *own,
        {"type": "textbox", "name": "runbooks", "label": "Runbooks", "query": RUNBOOKS, "hide": 2,
         "options": [{"selected": True, "text": RUNBOOKS, "value": RUNBOOKS}],
         "current": {"selected": True, "text": RUNBOOKS, "value": RUNBOOKS}},
    ]


def steps(thresholds):
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for value, colour in thresholds]}


def targets(panel):
    table = panel.kind == "table"
    return [{
        "refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query.expr, "editorMode": "code",
        "legendFormat": query.legend or "__auto", "range": panel.kind == "timeseries", "instant": panel.kind != "timeseries",
        **({"format": "table"} if table else {}),
    } for index, query in enumerate(panel.queries)]


def field_config(panel):
    defaults = {"unit": panel.unit, "thresholds": steps(panel.thresholds), "mappings": [
        {"type": "value", "options": {value: {"text": text, "color": colour, "index": index}
                                      for index, (value, (text, colour)) in enumerate(panel.mappings.items())}},
    ] if panel.mappings else []}
    if panel.kind == "timeseries":
        # A gap stays a gap: missing is never 0 and never joined over.
        defaults["custom"] = {
            "drawStyle": "line", "lineInterpolation": "stepAfter", "lineWidth": 1, "fillOpacity": 30 if panel.stack else 0,
            "showPoints": "never", "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stack else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if len(panel.thresholds) > 2 else "off"},
        }
        defaults["color"] = {"mode": "palette-classic"}
        if panel.minimum is not None:
            defaults["min"] = panel.minimum
    else:
        defaults["color"] = {"mode": "thresholds"}
    overrides = []
    for title, unit in panel.columns.values():
        properties = [{"id": "unit", "value": unit}] if unit else []
        if title == "Domain":
            properties.append({"id": "links", "value": [{
                "title": "Dashboard of ${__value.text}", "targetBlank": False,
                "url": "/d/jdcloud-cdn-domain?var-domain=${__value.text}&${datasource:queryparam}&${__url_time_range}"}]})
        if title == "Origin ratio":
            properties += [{"id": "thresholds", "value": steps(RATIO)},
                           {"id": "custom.cellOptions", "value": {"type": "color-text"}}]
        if properties:
            overrides.append({"matcher": {"id": "byName", "options": title}, "properties": properties})
    return {"defaults": defaults, "overrides": overrides}


def options(panel):
    if panel.kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value",
                "graphMode": "none", "textMode": "value", "justifyMode": "auto", "orientation": "auto"}
    return {"showHeader": True, "cellHeight": "sm"}


def transformations(panel):
    """Of a table: one row for each domain (or series), only the columns named, in their order."""
    if panel.kind != "table":
        return []
    letters = {query.legend: chr(ord("A") + index) for index, query in enumerate(panel.queries)}
    several = len(panel.queries) > 1
    source = {name: f"Value #{letters[name]}" if name in letters else name for name in panel.columns}
    join = [{"id": "joinByField", "options": {"byField": "domain", "mode": "outer"}}] if several else []
    return join + [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(source.values())}}},
        {"id": "organize", "options": {
            "excludeByName": {}, "indexByName": {source[name]: index for index, name in enumerate(panel.columns)},
            "renameByName": {source[name]: title for name, (title, _) in panel.columns.items()}}},
    ]


def grafana_panel(panel, number, x, y):
    made = {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.description, "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height}, "targets": targets(panel),
        "fieldConfig": field_config(panel), "options": options(panel), "transformations": transformations(panel), "links": [],
    }
    if panel.runbook:
        made["links"] = [{"title": "Runbook", "url": f"${{runbooks}}/{panel.runbook}.md", "targetBlank": True}]
    return made


def panels(rows):
    made, number, y = [], 1, 0
    for row in rows:
        made.append({"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
                     "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        number, x, y, height = number + 1, 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            made.append(grafana_panel(panel, number, x, y))
            number, x, height = number + 1, x + panel.width, max(height, panel.height)
        y += height
    return made


def dashboard(uid, title, description, own_variables, rows, annotated):
    return {
        "uid": uid, "title": title, "description": description, "tags": ["jdcloud-cdn"], "schemaVersion": 39, "version": 1,
        "editable": True, "graphTooltip": 1, "refresh": "1m", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "links": [{"type": "dashboards", "title": "JD Cloud CDN", "tags": ["jdcloud-cdn"], "asDropdown": True,
                   "includeVars": False, "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}],
        "annotations": {"list": [{
            "name": "Alerts", "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": RED,
            "expr": f'ALERTS{{alertname=~"JdcloudCdn.*",alertstate="firing"{annotated}}}', "step": "60s",
            "titleFormat": "{{alertname}}", "textFormat": "{{domain}} {{account}} {{endpoint}}", "tagKeys": "severity",
        }]},
        "templating": {"list": variables(own_variables)}, "panels": panels(rows),
    }


def documents():
    """File name -> text, of all three."""
    domains = "label_values(jdcloud_cdn_domain_info, domain)"
    made = {
        "fleet.json": dashboard(
            "jdcloud-cdn-fleet", "JD Cloud CDN: fleet", "All domains: bandwidth, origin ratio, volume, alerts.",
            [query_variable("domain", "Domains", domains, many=True)], FLEET, ""),
        "domain.json": dashboard(
            "jdcloud-cdn-domain", "JD Cloud CDN: domain", "One domain against its own past and its limits.",
            [query_variable("domain", "Domain", domains, many=False)], DOMAIN, ',domain="$domain"'),
        "exporter.json": dashboard(
            "jdcloud-cdn-exporter", "JD Cloud CDN: exporter", "How the exporter does: requests, polls, windows, process.",
            [query_variable("instance", "Instances", "label_values(jdcloud_cdn_exporter_build_info, instance)", many=True)],
            EXPORTER, ',domain=""'),
    }
    return {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in made.items()}


def main():
    differing = []
    for name, text in documents().items():
        path = DASHBOARDS / name
        if sys.argv[1:] == ["--check"]:
            if not path.is_file() or path.read_bytes() != text.encode():
                differing.append(name)
        else:
            path.write_bytes(text.encode())
    if differing:
        sys.exit(f"{', '.join(differing)}: not what generate.py makes; run deploy/grafana/generate.py and commit")


if __name__ == "__main__":
    main()
