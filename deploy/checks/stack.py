"""The demo and a real Prometheus on free loopback ports, and questions to them. Everything waits on a predicate with a bound."""

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

STOP_SECONDS = 10


class CheckError(Exception):
    """A check that failed; the text says what and where."""


def get(url, timeout=10):
    """The status and text of a GET; (0, reason) when there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def wait_for(what, predicate, seconds):
    """What `predicate` gives as soon as it is true. It returns (done, state); the last state is told on failure."""
    end = time.monotonic() + seconds
    while True:
        done, state = predicate()
        if done:
            return state
        if time.monotonic() > end:
            raise CheckError(f"{what}: not within {seconds} s; last seen: {state}")
        time.sleep(0.1)


@contextmanager
def process(arguments, log, env=None):
    """A child process that writes to the file `log` and does not outlive the block."""
    with open(log, "wb") as output:
        child = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, env=env)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def demo(binary, folder):
    """Runs the exporter's demo; gives its address, as host:port, once every endpoint has been read."""
    log = folder / "demo.log"
    with process([binary, "demo", "--web.listen-address=127.0.0.1:0"], log) as child:
        def address():
            text = log.read_text()
            if child.poll() is not None:
                raise CheckError(f"the demo of {binary} ended: {text}")
            found = re.search(r"metrics\s+http://([0-9.:]+)/metrics", text)
            return found, found.group(1) if found else text
        host = wait_for("address of the demo", address, 10)
        wait_for("first round of the demo", lambda: ((reply := get(f"http://{host}/-/ready"))[0] == 200, reply), 20)
        yield host


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def prometheus(config, folder):
    """Runs Prometheus with the configuration text; gives its base URL once it is ready."""
    port, log = free_port(), folder / "prometheus.log"
    (folder / "prometheus.yml").write_text(config)
    arguments = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    base = f"http://127.0.0.1:{port}"
    with process(arguments, log) as child:
        def ready():
            if child.poll() is not None:
                raise CheckError(f"Prometheus ended: {log.read_text()}")
            reply = get(f"{base}/-/ready")
            return reply[0] == 200, reply
        wait_for("Prometheus", ready, 20)
        yield base


def api(base, path, **parameters):
    """The `data` of an answer of Prometheus' API; an error of the expression is an error here."""
    status, text = get(f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
    if status != 200:
        raise CheckError(f"{parameters or path}: Prometheus answers {status}: {text[:500]}")
    return json.loads(text)["data"]


def query(base, expr, seconds_ago=0):
    """The samples that `expr` gives now, or did so many seconds ago, as (labels, number)."""
    data = api(base, "query", query=expr, time=time.time() - seconds_ago)
    if data["resultType"] == "scalar":
        return [({}, float(data["result"][1]))]
    return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]
