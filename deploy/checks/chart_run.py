"""Runs what the chart renders: the exporter with a pod's files, flags and probes, and Prometheus with its relabelings."""

import base64
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from checks import stack
from checks.stack import CheckError

LISTEN = ":10530"
# A first round against a provider that refuses connections, its retries included, on a busy machine.
PROBE_SECONDS = 30
# How a target of the operator looks before the chart's relabelings: endpoint is the port's name.
OPERATOR_LABELS = {"endpoint": "http", "namespace": "monitoring", "pod": "cdn-0", "__meta_kubernetes_namespace": "monitoring",
                   "__meta_kubernetes_pod_name": "cdn-0"}


class Pod:
    """One container of a rendered pod, with its volumes as folders below `root` and its arguments and environment for them."""

    def __init__(self, objects, spec, root):
        self.objects, self.spec, self.root = objects, spec, root
        self.container = spec["containers"][0]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        self.folders = []
        for mount in self.container.get("volumeMounts", []):
            self.folders.append(mount["mountPath"])
            folder = root / mount["mountPath"].lstrip("/")
            folder.mkdir(parents=True)
            for name, content in self.contents(volumes[mount["name"]]).items():
                (folder / name).write_bytes(content)
        for path in root.rglob("*.yaml"):
            path.write_text(self.moved(path.read_text()))

    def contents(self, volume):
        """The files of a volume; those of an object that exists already are made up."""
        if "configMap" in volume:
            found = self.objects.named("ConfigMap", volume["configMap"]["name"])
            return {name: text.encode() for name, text in found["data"].items()} if found else {}
        found = self.objects.named("Secret", volume["secret"]["secretName"])
        if found:
            return {name: base64.b64decode(text) for name, text in found["data"].items()}
        existing = {"secret-keys": lambda: {"main": b"made-up-key\n"}, "tls": certificate,
                    "web": lambda: {"web.yml": b"tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n", **certificate()}}
        return existing[volume["name"]]()

    def moved(self, text):
        """Every mounted path of the text, below the root."""
        for folder in self.folders:
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    def environment(self, name, **more):
        values = {}
        for entry in self.container["env"]:
            source = entry.get("valueFrom", {})
            values[entry["name"]] = entry.get("value") or (name if "fieldRef" in source else "made-up-key")
        return {"PATH": os.environ["PATH"], **values, **more}

    def arguments(self, environment, address):
        expanded = [re.sub(r"\$\((\w+)\)", lambda found: environment[found.group(1)], text) for text in self.container["args"]]
        return [self.moved(text).replace(f"listen-address={LISTEN}", f"listen-address={address}") for text in expanded]


def certificate():
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                               "-days", "2", "-subj", "/CN=localhost", "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CheckError(f"openssl: {done.stderr}")
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def probe(spec, address):
    """Whether a probe succeeds, as the kubelet would see it, and what it saw."""
    if "tcpSocket" in spec:
        with socket.socket() as client:
            client.settimeout(spec["timeoutSeconds"])
            result = client.connect_ex(address)
        return result == 0, f"connect gives {result}"
    wanted = spec["httpGet"]
    url = f"{wanted.get('scheme', 'HTTP').lower()}://{address[0]}:{address[1]}{wanted['path']}"
    # The kubelet does not verify the certificate either.
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(url, timeout=spec["timeoutSeconds"], context=context) as reply:
            return 200 <= reply.status < 400, reply.status
    except urllib.error.HTTPError as error:
        return False, f"{url} gives {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return False, f"{url}: {error!r}"


def pods_run(binary, objects):
    """Every pod of the case with an unreachable provider: it serves, and its probes succeed all the same."""
    (_, spec), *tests = objects.pods()
    name = f"{objects.one('StatefulSet')['metadata']['name']}-0"
    unreachable = {"JDCLOUD_CDN_EXPORTER__API__BASE_URL": f"http://127.0.0.1:{stack.free_port()}"}
    with tempfile.TemporaryDirectory() as temporary:
        pod, address = Pod(objects, spec, Path(temporary) / "pod"), ("127.0.0.1", stack.free_port())
        environment = pod.environment(name, **unreachable)
        command = ["env", "-i", *(f"{key}={value}" for key, value in environment.items()), binary]
        log = Path(temporary) / "log"
        with stack.process([*command, *pod.arguments(environment, f"{address[0]}:{address[1]}")], log) as child:
            def answers(kind):
                if child.poll() is not None:
                    raise CheckError(f"it ended with {child.returncode}: {log.read_text()}")
                return probe(pod.container[kind], address)
            for kind in ("livenessProbe", "readinessProbe"):
                stack.wait_for(kind, lambda kind=kind: answers(kind), PROBE_SECONDS)
    for _, spec in tests:
        with tempfile.TemporaryDirectory() as temporary:
            pod = Pod(objects, spec, Path(temporary) / "pod")
            environment = pod.environment(name, **unreachable)
            done = subprocess.run([binary, *pod.arguments(environment, "")], env=environment, capture_output=True, text=True, check=False,
                                  timeout=PROBE_SECONDS)
            # 1 is a provider that does not answer, 2 would be a configuration or flag that cannot be used.
            if done.returncode != 1:
                yield f"helm test: exit code {done.returncode}: {done.stdout}{done.stderr}"


def configuration_passes(binary, objects):
    """The exporter's own check finds the file in the ConfigMap good, and warns of nothing."""
    with tempfile.TemporaryDirectory() as temporary:
        pod = Pod(objects, objects.pods()[0][1], Path(temporary) / "pod")
        flags = [text for text in pod.arguments(pod.environment("cdn-0"), "") if text.startswith(("--config.file", "--shard"))]
        done = subprocess.run([binary, "check", *flags], env=pod.environment("cdn-0"), capture_output=True, text=True, check=False,
                              timeout=PROBE_SECONDS)
        if done.returncode != 0:
            yield f"check gives {done.returncode}: {done.stdout}{done.stderr}"


def snake(key):
    return re.sub(r"([A-Z])", lambda found: "_" + found.group(1).lower(), key)


def scraped_labels(binary, objects):
    """Prometheus scrapes the demo as the operator would let it: the labels are those that rules and dashboards ask for.

    Beside it the same without the chart's labeldrop, where the exporter's label must be lost: else this proves nothing.
    """
    endpoints = objects.one("ServiceMonitor")["spec"]["endpoints"]
    with tempfile.TemporaryDirectory() as temporary, stack.demo(binary, Path(temporary)) as host:
        def job(name, endpoint, keep):
            rules = [{snake(key): value for key, value in rule.items()} for rule in endpoint["relabelings"] if keep(rule)]
            return {"job_name": name, "scrape_interval": "1s", "scrape_timeout": "1s", "metrics_path": endpoint["path"],
                    "static_configs": [{"targets": [host], "labels": OPERATOR_LABELS}], "relabel_configs": rules}
        jobs = [job(f"operator/{number}", endpoint, lambda rule: True) for number, endpoint in enumerate(endpoints)]
        jobs.append(job("without", endpoints[0], lambda rule: rule["action"] != "labeldrop" and rule.get("targetLabel") != "job"))
        with stack.prometheus(json.dumps({"scrape_configs": jobs}), Path(temporary)) as base:
            def seen(query, *labels):
                return {tuple(sample.get(label) for label in labels) for sample, _ in stack.query(base, query)}

            def settled():
                up = seen("up == 1", "job", "instance")
                wanted = {("jdcloud-cdn", "monitoring/cdn-0"), ("jdcloud-cdn-windows", "monitoring/cdn-0"), ("without", "monitoring/cdn-0")}
                return up == wanted, up
            stack.wait_for("targets up", settled, 20)
            both = {("bandwidth_flow", None), ("origin_ratio", None)}
            if (found := seen('jdcloud_cdn_up{job="jdcloud-cdn"}', "endpoint", "exported_endpoint")) != both:
                yield f"labels endpoint and exported_endpoint: {found}"
            if (found := seen('jdcloud_cdn_up{job="without"}', "endpoint", "exported_endpoint")) != {("http", name) for name, _ in both}:
                yield f"without the labeldrop the operator's label should have won: {found}"
            if found := seen('jdcloud_cdn_domain_info{job="jdcloud-cdn",endpoint!=""}', "endpoint"):
                yield f"a series without an endpoint of its own has got one: {found}"


def complaints(binary, cases):
    """Of running every case; `cases` has the objects by name."""
    def run(objects):
        checks = [configuration_passes, pods_run] if objects.configuration() else [pods_run]
        return [line for check in checks for line in check(binary, objects)]

    # Their waits for a first round pass side by side.
    with ThreadPoolExecutor(max_workers=len(cases) + 1) as pool:
        running = {name: pool.submit(run, objects) for name, objects in cases.items()}
        running["labels"] = pool.submit(lambda: list(scraped_labels(binary, cases["sharded"])))
        for name, outcome in running.items():
            try:
                yield from (f"{name}: {line}" for line in outcome.result())
            except CheckError as error:
                yield f"{name}: {error}"
