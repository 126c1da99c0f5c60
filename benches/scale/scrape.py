"""Scrapes of 10,000 domains: beside nginx, beside other libraries, and while polls go on."""

import contextlib
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

import parts
from parts import HERE, Row

DOMAINS = 10_000
CLIENTS = 4


def rows(programs, options):
    with parts.polled_once(programs, DOMAINS) as exporter:
        yield from beside_nginx(exporter, options)
        yield from beside_libraries(programs, exporter, options)
    yield from while_polling(programs, options)


def beside_nginx(exporter, options):
    page = parts.fetch(exporter.port)
    url = f"http://127.0.0.1:{exporter.port}/metrics"
    with nginx(page) as other:
        other_url = f"http://127.0.0.1:{other.port}/metrics"
        assert parts.fetch(other.port) == page, "nginx serves the same bytes"
        ratio, ratios, loads = parts.pairs(
            options.pairs,
            lambda: parts.wrk(exporter, url, CLIENTS, options.seconds),
            lambda: parts.wrk(other, other_url, CLIENTS, options.seconds),
        )
    ours = statistics.median(load.per_second for load, _ in loads)
    theirs = statistics.median(load.per_second for _, load in loads)
    yield Row(
        f"scrapes/s of {DOMAINS:,} domains, gzip ({len(page) / 1e3:.0f} kB), {CLIENTS} clients,"
        " beside nginx with the same bytes",
        f"{ratio:.2f} ({ours:,.0f}/s to {theirs:,.0f}/s; {min(ratios):.2f} to {max(ratios):.2f})",
        "≥ 0.8", ratio >= 0.8,
    )


@contextlib.contextmanager
def nginx(page):
    """nginx with the page as a static file."""
    program = parts.need("nginx", "nginx-light")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "www").mkdir()
        (folder / "www" / "metrics").write_bytes(page)
        port = parts.free_port()
        temporary = "".join(
            f"    {kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            # A master that is root would give its workers to a user who may not read the folder.
            ("user root;\n" if os.geteuid() == 0 else "")
            + f"daemon off;\nworker_processes {os.cpu_count()};\npid {folder}/pid;\n"
            f"error_log {folder}/error.log;\nevents {{ worker_connections 128; }}\n"
            f"http {{\n    access_log off;\n    sendfile on;\n    tcp_nopush on;\n"
            f"    keepalive_requests 1000000;\n{temporary}    default_type text/plain;\n"
            f"    server {{\n        listen 127.0.0.1:{port};\n        root {folder}/www;\n"
            f"        location / {{ add_header Content-Encoding gzip; }}\n    }}\n}}\n")
        command = [program, "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"]
        with parts.running(command) as server:
            server.port = port
            parts.wait_until_listening(server, port)
            yield server


def beside_libraries(programs, exporter, options):
    ours = cpu_of_a_scrape(exporter, f"http://127.0.0.1:{exporter.port}/metrics", options.seconds)
    text = parts.fetch(exporter.port, coding="identity")
    with tempfile.TemporaryDirectory() as name:
        page = pathlib.Path(name) / "page"
        page.write_bytes(text)
        for what, target, server in (
            ("Go client_golang", 300, go_exporter(name, page)),
            ("Python prometheus_client", 1_000, python_exporter(page)),
        ):
            with server as other:
                theirs = cpu_of_a_scrape(other, f"http://127.0.0.1:{other.port}/metrics", options.seconds)
            yield compared(what, ours, theirs, target)
    before = os.times()
    times = 5
    work = [programs.work, "text-encoder", str(DOMAINS)]
    for count in ("0", str(times)):
        subprocess.run([*work, count], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        cpu = sum(after[2:4]) - sum(before[2:4])
        preparation = cpu if count == "0" else preparation
        before = after
    yield compared("the prometheus crate's TextEncoder and gzip", ours, (cpu - preparation) / times, 100)


def compared(what, ours, theirs, target):
    return Row(
        f"CPU of such a scrape, beside {what}",
        f"1/{theirs / ours:,.0f} ({parts.seconds(ours)} to {parts.seconds(theirs)})",
        f"≤ 1/{target:,}", theirs / ours >= target,
    )


def cpu_of_a_scrape(server, url, seconds):
    load = parts.wrk(server, url, CLIENTS, seconds)
    # A slow one may not end a single scrape within the time, though it works on several.
    while load.requests < 3:
        seconds *= 3
        load = parts.wrk(server, url, 1, seconds)
    return load.cpu / load.requests


@contextlib.contextmanager
def go_exporter(folder, page):
    go = parts.need("go", "golang-go golang-github-prometheus-client-golang-dev")
    program = pathlib.Path(folder) / "client_golang"
    environment = {
        **os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPATH": f"{folder}/go:/usr/share/gocode",
        "GOCACHE": str(parts.ROOT / ".cache" / "go-build"),
    }
    subprocess.run(
        [go, "build", "-o", program, "main.go"], cwd=HERE / "client_golang", check=True, env=environment)
    with library([program, page]) as server:
        yield server


@contextlib.contextmanager
def python_exporter(page):
    python = parts.ROOT / ".cache" / "python" / "bin" / "python"
    if not python.exists():
        raise parts.Missing("there is no prometheus_client in .cache/python. Run .ci/parts bench")
    with library([python, HERE / "client_python.py", page]) as server:
        yield server


@contextlib.contextmanager
def library(command):
    port = parts.free_port()
    with parts.running([*command, port]) as server:
        server.port = port
        parts.wait_until_listening(server, port, parts.PATIENCE * 4)
        yield server


# ---------------------------------------------------------------- latency

def while_polling(programs, options):
    """The same exporter polls each domain every 10 s (1,050 calls a second) and renders what came."""
    with tempfile.TemporaryDirectory() as folder, \
            parts.provider(programs, DOMAINS) as upstream:
        idle = parts.config(folder, upstream.address, DOMAINS, interval="1h")
        with parts.exporter(programs, idle) as server:
            parts.wait_until_ready(server, parts.PATIENCE * 4)
            quiet = percentile(latencies(server.port, options.latencies), 0.99)
        busy = parts.config(folder, upstream.address, DOMAINS, interval="10s")
        with parts.exporter(programs, busy) as server:
            parts.wait_until_ready(server, parts.PATIENCE * 4)
            loud = percentile(latencies(server.port, options.latencies), 0.99)
    yield Row(
        "99th percentile of scrape latency while 1,050 polls a second and re-renders run, beside idle",
        f"{loud / quiet:.2f} ({parts.seconds(loud)} to {parts.seconds(quiet)})",
        "< 3", loud / quiet < 3,
    )


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def latencies(port, count):
    """Seconds from the request to the last byte of the compressed page, one client, with pauses."""
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"
    room = bytearray(1 << 20)
    taken = []
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(parts.PATIENCE)
        for turn in range(count):
            started = time.perf_counter()
            client.sendall(request)
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1 << 16)
            head, _, body = head.partition(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length"))
            left = length - len(body)
            while left:
                left -= client.recv_into(room, min(left, len(room)))
            taken.append(time.perf_counter() - started)
            # Not in step with anything in the exporter.
            time.sleep(0.005 + (turn % 7) * 0.001)
    return taken
