"""An exporter as the Python client library's users write it: the samples of a page as gauges.

    client_python.py PAGE PORT
"""

import re
import sys
import threading

from prometheus_client import CollectorRegistry, Gauge, start_http_server

registry, gauges, helps = CollectorRegistry(), {}, {}
with open(sys.argv[1], encoding="utf-8") as page:
    for line in page:
        if line.startswith("# HELP "):
            _, _, name, text = line.rstrip("\n").split(" ", 3)
            helps[name] = text
        found = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
        if not found:
            continue
        name, labels, value = found.groups()
        labels = dict(re.findall(r'(\w+)="([^"]*)"', labels or ""))
        if name not in gauges:
            gauges[name] = Gauge(name, helps.get(name, name), list(labels), registry=registry)
        (gauges[name].labels(**labels) if labels else gauges[name]).set(float(value))
start_http_server(int(sys.argv[2]), addr="127.0.0.1", registry=registry)
threading.Event().wait()
