"""What every measurement needs: built programs, servers on free ports that always end, their
processor time and memory, a load generator."""

import contextlib
import dataclasses
import gzip
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "benches" / "scale"
# A server must listen, and a page must come, within so many seconds.
PATIENCE = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
USERNAME, KEY = "demo", "made-up-key-of-the-demo-account"


class Missing(SystemExit):
    """A program that is not there."""


def need(program, package):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"there is no {program}. Run .ci/parts bench, or as root: apt-get install {package}")
    return path


def domain(n):
    return f"cdn{n}.customer{n % 97}.example.com"


# ---------------------------------------------------------------- programs

@dataclasses.dataclass
class Programs:
    exporter: pathlib.Path
    provider: pathlib.Path
    work: pathlib.Path


def build():
    """The release build, or what is in the folder that JDCLOUD_BENCH_PROGRAMS names."""
    given = os.environ.get("JDCLOUD_BENCH_PROGRAMS")
    if given:
        folder = pathlib.Path(given).resolve()
    else:
        cargo("build", "--release", "--locked", "--bins", "--examples")
        metadata = cargo("metadata", "--format-version=1", "--no-deps", "--locked", stdout=subprocess.PIPE)
        folder = pathlib.Path(json.loads(metadata.stdout)["target_directory"]) / "release"
    return Programs(
        folder / "jdcloud-cdn-exporter", folder / "examples" / "bench_provider",
        folder / "examples" / "bench_work",
    )


def cargo(*arguments, **options):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, **options)


# ---------------------------------------------------------------- processes

class Server:
    """A running process, with what the kernel says about it."""

    def __init__(self, process):
        self.process = process

    def _processes(self):
        """Itself and its children (nginx has its workers there)."""
        yield self.process.pid
        for children in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            yield from map(int, children.read_text().split())

    def cpu(self):
        """Seconds of processor time, user and system, so far."""
        ticks = 0
        for pid in self._processes():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def cpu_of_threads(self):
        """The same to the nanosecond, of the threads that live: for short work."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory(self, name="VmRSS"):
        """Resident bytes now, or at most (VmHWM)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024

    def must_run(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.process.args[0]} ended by itself")


@contextlib.contextmanager
def running(command, **options):
    options.setdefault("stderr", subprocess.DEVNULL)
    process = subprocess.Popen(list(map(str, command)), **options)
    try:
        yield Server(process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, met, patience=PATIENCE, pause=0.002):
    """Waits until it is true, and returns what made it so."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        outcome = met()
        if outcome:
            return outcome
        time.sleep(pause)
    raise SystemExit(f"gave up waiting until {what}")


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until_listening(server, port, patience=PATIENCE):
    def met():
        server.must_run()
        return listens(port)
    wait_for(f"something listens on port {port}", met, patience)


# ---------------------------------------------------------------- the provider and the exporter

@contextlib.contextmanager
def provider(programs, domains, latency_ms=0, **options):
    """The simulated provider; gives its address."""
    command = [programs.provider, domains, latency_ms]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options) as server:
        server.address = server.process.stdout.readline().strip()
        if not server.address:
            raise SystemExit("the provider does not start")
        yield server


def config(folder, base_url, domains, endpoints=(), **settings):
    """Writes a configuration; settings are `interval`, `concurrency`, `rate`, `batch`."""
    of_each = f", endpoints: [{', '.join(endpoints)}]" if endpoints else ""
    items = (
        f"      - {{name: {domain(n)}{of_each}}}" if endpoints else f"      - {domain(n)}"
        for n in range(domains)
    )
    batch = settings.get("batch")
    batches = f"    bandwidth_flow_batch: {batch}\n    origin_ratio_batch: {batch}\n" if batch else ""
    path = pathlib.Path(folder) / "exporter.yaml"
    path.write_text(
        f"api:\n  base_url: {base_url}\n"
        f"  max_concurrency: {settings.get('concurrency', 8)}\n"
        f"  max_requests_per_second: {settings.get('rate', 100_000)}\n"
        f"poll:\n  interval: {settings.get('interval', '1h')}\n"
        f"accounts:\n  - username: {USERNAME}\n    secret_key: {KEY}\n    max_domains: {domains}\n{batches}    domains:\n"
        + "\n".join(items) + "\n"
    )
    return path


@contextlib.contextmanager
def exporter(programs, path, **options):
    port = free_port()
    command = [programs.exporter, f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}"]
    with running(command, **options) as server:
        server.port = port
        wait_until_listening(server, port)
        yield server


def is_ready(server):
    server.must_run()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/-/ready", timeout=PATIENCE):
            return True
    except OSError:
        return False


def wait_until_ready(server, patience):
    wait_for("every domain has been polled once", lambda: is_ready(server), patience, pause=0.01)


@contextlib.contextmanager
def polled_once(programs, domains, **settings):
    """An exporter whose first round is over and whose next is far away."""
    with tempfile.TemporaryDirectory() as folder:
        with provider(programs, domains) as upstream:
            path = config(folder, upstream.address, domains, **settings)
            with exporter(programs, path) as server:
                wait_until_ready(server, PATIENCE + domains / 200)
                yield server


def fetch(port, path="/metrics", coding="gzip", method="GET"):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Accept-Encoding": coding}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE * 10) as response:
        return response.read()


def counter(port, name):
    """The sum of a family of the exporter's own counters."""
    text = gzip.decompress(fetch(port)).decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


# ---------------------------------------------------------------- load

@dataclasses.dataclass
class Load:
    requests: int
    per_second: float
    cpu: float


def wrk(server, url, connections, seconds, threads=1, script=None, gzip=True):
    """Requests as fast as they are answered; the processor time is the server's."""
    command = [need("wrk", "wrk"), "-c", connections, "-t", threads, "-d", f"{seconds}s"]
    if gzip:
        command += ["-H", "Accept-Encoding: gzip"]
    if script:
        command += ["-s", script]
    before = server.cpu()
    done = subprocess.run(
        list(map(str, [*command, url])), check=True, stdout=subprocess.PIPE, text=True,
        timeout=seconds + PATIENCE,
    ).stdout
    cpu = server.cpu() - before
    if "Non-2xx" in done:
        raise SystemExit(f"wrk was refused by {url}:\n{done}")
    requests, took = re.search(r"(\d+) requests in ([\d.]+)s", done).groups()
    return Load(int(requests), int(requests) / float(took), cpu)


def pairs(count, first, second):
    """A B A B …: the ratios of the two, and their figures."""
    rows = [(first(), second()) for _ in range(count)]
    ratios = [a.per_second / b.per_second for a, b in rows]
    return statistics.median(ratios), ratios, rows


# ---------------------------------------------------------------- the table

@dataclasses.dataclass
class Row:
    """A line of the table. `met` is None where there is no target."""
    what: str
    measured: str
    target: str = ""
    met: bool | None = None

    def line(self):
        mark = {True: "yes", False: "**no**", None: ""}[self.met]
        return f"| {self.what} | {self.measured} | {self.target} | {mark} |"


def machine():
    found = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    kernel = os.uname()
    return f"{found[1] if found else 'unknown CPU'}, {os.cpu_count()} cores, {kernel.sysname} {kernel.release}"


def seconds(value):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def megabytes(value):
    return f"{value / 1e6:.1f} MB"
