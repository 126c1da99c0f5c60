"""Poll rounds of 10,000 domains at bandwidth_flow, one domain a call."""

import datetime
import hashlib
import json
import pathlib
import statistics
import tempfile
import time

import parts
from parts import Row

DOMAINS = 10_000
# Of the exporter and of wrk alike.
CONCURRENCY = 64
LATENCY_MS, SLOW_CONCURRENCY = 200, 200
ENDPOINT = "bandwidth_flow"
REQUESTS = "jdcloud_cdn_exporter_api_requests_total"
FAILURES = "jdcloud_cdn_exporter_api_request_failures_total"


def rows(programs, options):
    yield from as_fast_as_it_goes(programs, options)
    for interval, seconds in (("10s", 10), ("60s", 30)):
        yield at_leisure(programs, interval, max(options.seconds * 2, seconds))
    yield from with_latency(programs)


def as_fast_as_it_goes(programs, options):
    """Rounds without a pause: everything is due again before a round has ended."""
    with tempfile.TemporaryDirectory() as folder, parts.provider(programs, DOMAINS) as upstream:
        config = parts.config(
            folder, upstream.address, DOMAINS, [ENDPOINT], interval="200ms", concurrency=CONCURRENCY)
        script = pathlib.Path(folder) / "calls.lua"
        script.write_text(calls())

        def ours():
            with parts.exporter(programs, config) as server:
                parts.wait_until_ready(server, parts.PATIENCE * 4)
                load = polls(server, options.seconds)
            return load

        def bare():
            return parts.wrk(upstream, upstream.address, CONCURRENCY, options.seconds, script=script, gzip=False)

        ratio, ratios, loads = parts.pairs(options.pairs, ours, bare)
    ours = statistics.median(load.per_second for load, _ in loads)
    bare = statistics.median(load.per_second for _, load in loads)
    yield Row(
        f"requests/s of poll rounds of {DOMAINS:,} domains, beside wrk with the same requests",
        f"{ratio:.2f} ({ours:,.0f}/s to {bare:,.0f}/s; {min(ratios):.2f} to {max(ratios):.2f})",
        "≥ 0.5", ratio >= 0.5,
    )
    cpu = statistics.median(load.cpu / load.requests for load, _ in loads)
    yield Row("CPU per domain polled, rounds without a pause", parts.seconds(cpu), "< 60 µs", cpu < 60e-6)


def polls(server, seconds):
    """The polls of some seconds."""
    before = parts.counter(server.port, REQUESTS)
    started, cpu = time.monotonic(), server.cpu()
    time.sleep(seconds)
    took, cpu = time.monotonic() - started, server.cpu() - cpu
    requests = parts.counter(server.port, REQUESTS) - before
    if parts.counter(server.port, FAILURES):
        raise SystemExit("polls failed, so their figures mean nothing")
    return parts.Load(int(requests), requests / took, cpu)


def at_leisure(programs, interval, seconds):
    """As an operator has it: spread over the interval, so that the process sleeps in between."""
    with tempfile.TemporaryDirectory() as folder, parts.provider(programs, DOMAINS) as upstream:
        config = parts.config(folder, upstream.address, DOMAINS, [ENDPOINT], interval=interval)
        with parts.exporter(programs, config) as server:
            parts.wait_until_ready(server, parts.PATIENCE * 4)
            load = polls(server, seconds)
    cpu = load.cpu / load.requests
    return Row(
        f"CPU per domain polled every {interval}, {load.per_second:,.0f} calls a second", parts.seconds(cpu),
        "< 60 µs", cpu < 60e-6)


def with_latency(programs):
    ideal = LATENCY_MS / 1e3 * DOMAINS / SLOW_CONCURRENCY
    with tempfile.TemporaryDirectory() as folder, \
            parts.provider(programs, DOMAINS, LATENCY_MS) as upstream:
        config = parts.config(
            folder, upstream.address, DOMAINS, [ENDPOINT], interval="1h", concurrency=SLOW_CONCURRENCY)
        with parts.exporter(programs, config) as server:
            started = time.monotonic()
            parts.wait_until_ready(server, ideal * 3)
            took = time.monotonic() - started
    yield Row(
        f"round of {DOMAINS:,} domains with {LATENCY_MS} ms of latency, {SLOW_CONCURRENCY} calls at once,"
        " beside latency × calls / concurrency",
        f"{took / ideal:.3f} ({took:.2f} s to {ideal:.2f} s)", "≤ 1.05", took / ideal <= 1.05,
    )


def calls():
    """A script for wrk that sends the exporter's calls, domain after domain."""
    beijing = datetime.timezone(datetime.timedelta(hours=8))
    now = datetime.datetime.now(beijing)
    text = now.strftime("%Y%m%d") + parts.USERNAME + parts.KEY
    signature = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    last = now - datetime.timedelta(minutes=now.minute % 5)
    first = last - datetime.timedelta(minutes=55)
    body = {
        "username": parts.USERNAME, "signature": signature, "domain": "@",
        "start_time": first.strftime("%Y-%m-%d %H:%M"), "end_time": last.strftime("%Y-%m-%d %H:%M"),
    }
    before, after = json.dumps(body, separators=(",", ":")).split("@")
    return f"""\
local calls, turn = {{}}, 0
function init()
  wrk.headers["Content-Type"] = "application/json"
  for n = 0, {DOMAINS - 1} do
    local name = "cdn" .. n .. ".customer" .. n % 97 .. ".example.com"
    calls[n] = wrk.format("POST", "/api/live/bandwidth_flow", nil, '{before}' .. name .. '{after}')
  end
end
function request()
  turn = (turn + 1) % {DOMAINS}
  return calls[turn]
end
"""
