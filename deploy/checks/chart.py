#!/usr/bin/env python3
"""Checks the Helm chart: rendered by Helm's own engine, held against Kubernetes' schemas, the exporter and Prometheus.

    deploy/checks/chart.py BINARY        deploy/test calls it

Needs PyPI's helm-python-sdk (Helm's Go code as a library) and kubernetes-validate, which .ci/parts installs. Prints what was
skipped as "skip: ..."; exits with 1 and every complaint when something is wrong.
"""

import base64
import copy
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from checks import chart_run  # noqa: E402
from checks.stack import CheckError  # noqa: E402

DEPLOY = Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent
SOURCE = DEPLOY / "helm" / "jdcloud-cdn-exporter"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARDS = DEPLOY / "grafana" / "dashboards"
NAMESPACE = "monitoring"

# Of the operator's API (monitoring.coreos.com/v1), which kubernetes-validate does not have: what the chart may write.
OPERATOR = {
    "ServiceMonitor": {"selector": None, "endpoints": {
        "port", "path", "scheme", "interval", "scrapeTimeout", "honorTimestamps", "tlsConfig", "basicAuth", "relabelings",
        "metricRelabelings"}},
    "PrometheusRule": {"groups": {"name", "interval", "rules"}},
}
# Values that the everything case cannot change, with the case that does.
ELSEWHERE = {"existingSecret": "existing-secret", "shards": "sharded", "demo": "demo"}


class Chart:
    """A folder of the chart, loaded by Helm; `origin` is where it was copied from, with links instead of files."""

    def __init__(self, folder, origin=None):
        self.folder, self.origin, self.chart = folder, origin or folder, helm_python.Chart.load(folder)

    def render(self, values):
        """The objects; the notes, which must render too, are left out."""
        texts = self.chart.render(values, name="cdn", namespace=NAMESPACE)
        del texts[f"{SOURCE.name}/templates/NOTES.txt"]
        documents = [document for text in texts.values() for document in yaml.load_all(text, yaml.CSafeLoader) if document]
        return Objects(documents)


class Objects(list):
    """Rendered manifests."""

    def one(self, kind):
        found = self.all(kind)
        if len(found) != 1:
            raise CheckError(f"one {kind} is wanted, there are {len(found)}")
        return found[0]

    def all(self, kind):
        return [item for item in self if item["kind"] == kind]

    def named(self, kind, name):
        return next((item for item in self.all(kind) if item["metadata"]["name"] == name), None)

    def pods(self):
        """(labels, spec) of every pod: the exporter's and the test's."""
        stateful = self.one("StatefulSet")["spec"]["template"]
        return [(stateful["metadata"]["labels"], stateful["spec"])] + [
            (pod["metadata"]["labels"], pod["spec"]) for pod in self.all("Pod")]

    def configuration(self):
        """The exporter's configuration file; None for the demo."""
        name = self.one("StatefulSet")["metadata"]["name"]
        found = self.named("ConfigMap", name)
        return found and found["data"]["exporter.yaml"]


def case_values(folder):
    """Case -> its values."""
    return {path.name.removesuffix("-values.yaml"): yaml.safe_load(path.read_text())
            for path in sorted((folder / "ci").glob("*-values.yaml"))}


# --- What holds for every case --------------------------------------------------------------------------------

def kubernetes_accepts(objects, _):
    """Strictly: an unknown field is a complaint. By the oldest version that the chart allows, and by the newest known."""
    allowed = re.search(r">=(\d+\.\d+)", (SOURCE / "Chart.yaml").read_text()).group(1)
    for item in objects:
        where = f"{item['kind']} {item['metadata']['name']}"
        if item["apiVersion"] == "monitoring.coreos.com/v1":
            yield from operator_accepts(item, where)
            continue
        for version in (f"{allowed}.0", kubernetes_validate.latest_version()):
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                yield f"{where}: Kubernetes {version}: {error}"


def operator_accepts(item, where):
    known = OPERATOR[item["kind"]]
    for key in item["spec"]:
        if key not in known:
            yield f"{where}: no field spec.{key}"
    for key, fields in known.items():
        for entry in item["spec"].get(key, []) if fields else []:
            yield from (f"{where}: no field spec.{key}[].{field}" for field in entry if field not in fields)


def is_hardened(objects, _):
    """What a pod must not have, and what it must."""
    for _, spec in objects.pods():
        pod = spec.get("securityContext", {})
        wanted = {
            "no token": spec.get("automountServiceAccountToken") is False,
            "no service links": spec.get("enableServiceLinks") is False,
            "nothing of the host": not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
            "not root": pod.get("runAsNonRoot") is True and pod.get("runAsUser", 0) > 0,
            "seccomp": pod.get("seccompProfile") == {"type": "RuntimeDefault"},
            "one container": len(spec["containers"]) == 1 and "initContainers" not in spec,
            "no path of the host": not any("hostPath" in volume for volume in spec.get("volumes", [])),
        }
        for container in spec["containers"]:
            own = container.get("securityContext", {})
            wanted |= {
                "no escalation": own.get("allowPrivilegeEscalation") is False and not own.get("privileged"),
                "read-only": own.get("readOnlyRootFilesystem") is True,
                "no capability": own.get("capabilities") == {"drop": ["ALL"]},
                "memory is limited": "memory" in container["resources"]["limits"],
                "memory is given back": {"name": "MALLOC_TRIM_THRESHOLD_", "value": "131072"} in container["env"],
                "mounts are read-only": all(mount.get("readOnly") for mount in container.get("volumeMounts", [])),
            }
        yield from (f"{spec['containers'][0]['name']}: not so: {what}" for what, so in wanted.items() if not so)


def is_coherent(objects, _):
    """Selectors find what they should, references lead somewhere."""
    (labels, spec), *others = objects.pods()
    stateful, service = objects.one("StatefulSet"), objects.one("Service")

    def finds(selector, found):
        return bool(selector) and selector.items() <= found.items()
    selectors = {
        "StatefulSet": stateful["spec"]["selector"]["matchLabels"],
        "Service": service["spec"]["selector"],
        **{item["kind"]: item["spec"]["selector"]["matchLabels"] for item in objects.all("PodDisruptionBudget")},
        **{item["kind"]: item["spec"]["podSelector"]["matchLabels"] for item in objects.all("NetworkPolicy")},
    }
    for kind, selector in selectors.items():
        if not finds(selector, labels) or any(finds(selector, other) for other, _ in others):
            yield f"the selector of {kind} must find the exporter's pods and no other"
    for monitor in objects.all("ServiceMonitor"):
        if not finds(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]):
            yield "the ServiceMonitor does not find the Service"
    if stateful["spec"]["serviceName"] != service["metadata"]["name"] or service["spec"]["clusterIP"] != "None":
        yield "the StatefulSet wants a headless Service"
    if not service["spec"]["publishNotReadyAddresses"] or stateful["spec"]["podManagementPolicy"] != "Parallel":
        yield "pods must be found, and started, without waiting for each other"
    for _, pod in [(labels, spec), *others]:
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        mounts = {mount["name"] for mount in pod["containers"][0].get("volumeMounts", [])}
        if volumes != mounts:
            yield f"volumes {sorted(volumes)}, mounts {sorted(mounts)}"


def is_sharded(objects, values):
    """Every shard is started, told which it is, and listed by the name that its pod gets."""
    stateful, count = objects.one("StatefulSet"), values.get("shards", 1)
    name = stateful["metadata"]["name"]
    arguments = stateful["spec"]["template"]["spec"]["containers"][0]["args"]
    listed = yaml.safe_load(objects.configuration() or "{}").get("shards")
    if stateful["spec"]["replicas"] != max(count, values.get("replicas", 1)):
        yield f"{stateful['spec']['replicas']} pods"
    if (f"--shard=$(POD_NAME)/{count}" in arguments) != (count > 1) or (not count > 1 and "--shard" in str(arguments)):
        yield f"{count} shards, and the arguments are {arguments}"
    if listed != ([f"{name}-{i}.{name}.{NAMESPACE}.svc:10530" for i in range(count)] if count > 1 else None):
        yield f"{listed} listed"


def no_key_shows(objects, values):
    """Keys are in Secrets only."""
    keys = list(values.get("secretKeys", {}).values())
    for item in objects:
        if item["kind"] != "Secret" and any(key in json.dumps(item) for key in keys):
            yield f"a key stands in {item['kind']} {item['metadata']['name']}"
    held = [base64.b64decode(text).decode() for item in objects.all("Secret") for text in item["data"].values()]
    yield from (f"the key {key} is in no Secret" for key in keys if key not in held)


def metrics_are_scraped(objects, values):
    """Each job once, by the name that the rules look for, speaking what the exporter speaks."""
    wanted = [("/metrics", "jdcloud-cdn")]
    monitor = values.get("serviceMonitor", {})
    if monitor.get("windows", {}).get("enabled"):
        wanted.append(("/windows", "jdcloud-cdn-windows"))
    web = values.get("web", {})
    scheme = "https" if web.get("tls") or web.get("config", {}).get("tls_server_config") else None
    for item in objects.all("ServiceMonitor"):
        found = [(entry["path"], rule["replacement"]) for entry in item["spec"]["endpoints"]
                 for rule in entry["relabelings"] if rule.get("targetLabel") == "job"]
        if found != wanted or any(entry.get("scheme") != scheme for entry in item["spec"]["endpoints"]):
            yield f"{item['spec']['endpoints']}"
    if len(objects.all("ServiceMonitor")) != monitor.get("enabled", False):
        yield f"{len(objects.all('ServiceMonitor'))} ServiceMonitors"


def rules_are_ours(objects, values):
    """The rules of deploy/prometheus, with the thresholds and links of the values, and good to promtool."""
    settings = values.get("prometheusRule", {})
    if len(objects.all("PrometheusRule")) != settings.get("enabled", False):
        yield f"{len(objects.all('PrometheusRule'))} PrometheusRules"
    for item in objects.all("PrometheusRule"):
        text = RULES.read_text()
        if "runbookBaseUrl" in settings:
            text = text.replace("runbook_url: docs/", f"runbook_url: {settings['runbookBaseUrl'].rstrip('/')}/docs/")
        wanted, given = yaml.safe_load(text)["groups"], copy.deepcopy(item["spec"]["groups"])
        prefix, common, per_domain = "jdcloud_cdn:threshold:", settings.get("thresholds", {}), settings.get("domainThresholds", {})
        own = [(domain, prefix + name, float(value)) for domain, names in per_domain.items() for name, value in names.items()]
        tail = given[0]["rules"][len(wanted[0]["rules"]):]
        if [(rule["labels"].get("domain"), rule["record"], number(rule)) for rule in tail] != own:
            yield f"thresholds of domains: {tail}"
        del given[0]["rules"][len(wanted[0]["rules"]):]
        for rule, ours in zip(given[0]["rules"], wanted[0]["rules"]):
            if (name := ours["record"].removeprefix(prefix)) in common:
                if number(rule) != float(common[name]):
                    yield f"{rule} instead of {common[name]}"
                rule["expr"] = ours["expr"]
        if given != wanted:
            yield "they differ from deploy/prometheus/rules.yml"
        yield from promtool_accepts(item["spec"])


def number(rule):
    found = re.fullmatch(r"vector\((.+)\)", rule["expr"])
    return found and float(found.group(1))


def promtool_accepts(spec):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yml"
        path.write_text(yaml.safe_dump(spec))
        done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            yield f"promtool: {done.stdout}{done.stderr}"


def dashboards_are_ours(objects, values):
    settings = values.get("dashboards", {})
    wanted = {f"jdcloud-cdn-{path.name}": json.loads(path.read_text()) for path in DASHBOARDS.glob("*.json")}
    label = settings.get("labels", {"grafana_dashboard": "1"})
    given = {name: json.loads(text) for item in objects.all("ConfigMap") if label.items() <= item["metadata"]["labels"].items()
             for name, text in item["data"].items()}
    if given != (wanted if settings.get("enabled") else {}):
        yield f"{sorted(given)} differ from {DASHBOARDS}"


# By the name that BREAKS uses; each gives complaints about a case's objects and values.
OF_CASES = {
    "kubernetes": kubernetes_accepts, "hardened": is_hardened, "coherent": is_coherent, "sharded": is_sharded,
    "secret": no_key_shows, "scraped": metrics_are_scraped, "rules": rules_are_ours, "dashboards": dashboards_are_ours,
}


# --- What holds for the chart as a whole ------------------------------------------------------------------------

def lint_is_content(chart):
    """Helm's own lint, with warnings as errors; with the defaults too, which name no account yet."""
    for name, values in {"defaults": {}, **case_values(chart.folder)}.items():
        report = helm_python.lint(chart.folder, values, strict=True, namespace=NAMESPACE)
        yield from (f"{name}: {found['path']}: {found['error']}" for found in report["messages"] if found["severity"] > 1)
        yield from (f"{name}: {error}" for error in report["errors"])


def versions_agree(chart):
    cargo = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
    if chart.chart.metadata["appVersion"] != cargo:
        yield f"appVersion is {chart.chart.metadata['appVersion']}, Cargo.toml says {cargo}"


def package_is_whole(chart):
    """The archive holds the rules and dashboards themselves, not links out of it, and nothing of the checks."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(helm_python.package(chart.origin, destination=folder)) as archive:
            held = {item.name: archive.extractfile(item).read() for item in archive.getmembers() if item.isfile()}
    base = f"{SOURCE.name}/files"
    wanted = {f"{base}/rules.yml": RULES, **{f"{base}/dashboards/{path.name}": path for path in DASHBOARDS.glob("*.json")}}
    yield from (f"{name} differs from {path}" for name, path in wanted.items() if held.get(name) != path.read_bytes())
    yield from (f"{name} does not belong there" for name in held if f"{SOURCE.name}/ci/" in name)


def schema_fits_values(chart):
    """Every value has its rule, every rule its value, and the exporter's top-level keys are the schema's."""
    def walk(values, schema, path=""):
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            return
        yield from (f"{path}{key}: only in one of values.yaml and the schema" for key in (values.keys() ^ known.keys()) - EXTRA)
        for key, value in values.items():
            if isinstance(value, dict) and key in known:
                yield from walk(value, known[key], f"{path}{key}.")
    # Of Helm; not set by default; the exporter's, with defaults of its own.
    EXTRA = {"global", "claims", "api", "poll"}
    yield from walk(chart.chart.values, chart.chart.schema)
    sample = yaml.safe_load((ROOT / "config" / "exporter.yaml").read_text()).keys() - {"shards"}
    if sample != chart.chart.schema["properties"]["config"]["properties"].keys():
        yield f"config has other keys than config/exporter.yaml: {sorted(sample)}"


def everything_is_everything(chart):
    """Each value has a case that changes it, so that no part of a template goes unrendered."""
    cases, defaults = case_values(chart.folder), yaml.safe_load((chart.folder / "values.yaml").read_text())
    for key, default in defaults.items():
        if cases[ELSEWHERE.get(key, "everything")].get(key, default) == default:
            yield f"no case changes {key}"


def checksums_follow(chart):
    """Another configuration or key gives other pods; the same values, and a change elsewhere, give the same."""
    def sums(change):
        values = copy.deepcopy(case_values(chart.folder)["minimal"])
        change(values)
        notes = chart.render(values).one("StatefulSet")["spec"]["template"]["metadata"]["annotations"]
        return notes["checksum/config"], notes["checksum/secret"]
    before = sums(lambda values: None)
    config = sums(lambda values: values["config"]["accounts"][0]["domains"].append("new.example.com"))
    key = sums(lambda values: values["secretKeys"].update(jcloud_00="another-key"))
    other = sums(lambda values: values.update(log={"level": "warn"}))
    if other != before or config[0] == before[0] or config[1] != before[1] or key[0] != before[0] or key[1] == before[1]:
        yield f"{before}, other configuration {config}, other key {key}, other log level {other}"


ACCOUNT = {"username": "u", "domains": ["a.example.com"]}
# Values on top of the minimal case, and what the refusal must say.
REFUSED = [
    ({"shard": 3}, "shard"),
    ({"shards": 0}, "/shards"),
    ({"shards": "3"}, "/shards"),
    ({"demo": "yes"}, "/demo"),
    ({"replicas": 1.5}, "/replicas"),
    ({"log": {"level": "loud"}}, "/log/level"),
    ({"log": {"colour": True}}, "colour"),
    ({"image": {"repository": "Example.com/UPPER"}}, "/image/repository"),
    ({"image": {"digest": "sha256:beef"}}, "/image/digest"),
    ({"image": {"tag": "a b"}}, "/image/tag"),
    ({"extraArgs": ["demo"]}, "/extraArgs/0"),
    ({"config": {"accounts": [{"username": "u"}]}}, "domains"),
    ({"config": {"accounts": [{"username": 20161023, "domains": []}]}}, "/config/accounts/0/username"),
    ({"config": {"accounts": [ACCOUNT], "shards": ["a:1"]}}, "shards"),
    ({"config": {"pol": {}}}, "pol"),
    ({"secretKeys": {"jcloud_00": 5}}, "/secretKeys/jcloud_00"),
    ({"secretKeys": {"a/b": "key"}}, "invalid propertyName 'a/b'"),
    ({"existingSecret": "Not_A_Name"}, "/existingSecret"),
    ({"serviceMonitor": {"interval": 30}}, "/serviceMonitor/interval"),
    ({"serviceMonitor": {"interval": "half a minute"}}, "/serviceMonitor/interval"),
    ({"prometheusRule": {"runbookBaseUrl": "wiki"}}, "/prometheusRule/runbookBaseUrl"),
    ({"prometheusRule": {"thresholds": {"origin_ratio_high": "much"}}}, "/prometheusRule/thresholds/origin_ratio_high"),
    ({"prometheusRule": {"domainThresholds": {"a.example.com": {"traffic_surge_factor": 2}}}}, "traffic_surge_factor"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    ({"resources": {"memory": "64Mi"}}, "memory"),
    ({"nodeSelector": {"a": 1}}, "/nodeSelector/a"),
    ({"fullnameOverride": "9lives"}, "/fullnameOverride"),
    # Refused by the templates, in plain words.
    ({"config": {"accounts": []}}, "list at least one account"),
    ({"config": {"accounts": [ACCOUNT]}}, "no secret key for u; set existingSecret"),
    ({"secretKeys": {"jcloud_0": "key"}}, "no account without a secret_key_file has this name; the names are jcloud_00"),
    ({"config": {"accounts": [{**ACCOUNT, "secret_key": "key"}]}}, "would stand in a ConfigMap"),
    ({"config": {"accounts": [{**ACCOUNT, "name": "the main one"}]}}, "a Secret can have no key called"),
    ({"existingSecret": "keys"}, "only one of them can hold the keys"),
    ({"web": {"existingSecret": "web", "config": {"rate_limit": {}}}}, "only one of them can hold the web configuration"),
    ({"web": {"tls": True}}, "there is none; set web.config"),
    ({"shards": 2, "replicas": 2}, "install a second release"),
    ({"demo": True, "shards": 2}, "the demo is one exporter"),
    ({"prometheusRule": {"enabled": True, "thresholds": {"origin_ratio_hgih": 0.5}}}, "there is no such threshold"),
]


def laid_over(values, more):
    merged = copy.deepcopy(values)
    for key, value in more.items():
        merged[key] = laid_over(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
    return merged


def bad_values_are_refused(chart):
    minimal = case_values(chart.folder)["minimal"]
    for more, wanted in REFUSED:
        try:
            chart.render(laid_over(minimal, more))
            yield f"{more} is accepted"
        except helm_python.HelmError as error:
            if wanted not in str(error):
                yield f"{more}: {wanted!r} is not in: {error}"


def documents_render(chart):
    """The values in the chart's README are accepted, alone or on top of the minimal case, and pass what every case passes."""
    minimal = case_values(chart.folder)["minimal"]
    for block in re.findall(r"^```yaml\n(.*?)^```$", (chart.folder / "README.md").read_text(), re.M | re.S):
        values = yaml.safe_load(block)
        values = values if "config" in values else laid_over(minimal, values)
        try:
            objects = chart.render(values)
        except helm_python.HelmError as error:
            yield f"{block}: {error}"
            continue
        yield from (f"{block}: {line}" for check in OF_CASES.values() for line in check(objects, values))


# Each gives complaints about the chart.
OF_CHART = {
    "lint": lint_is_content, "versions": versions_agree, "package": package_is_whole, "schema": schema_fits_values,
    "everything": everything_is_everything, "checksums": checksums_follow, "refused": bad_values_are_refused, "documents": documents_render,
}


# --- The checks themselves ------------------------------------------------------------------------------------------

# (file, what stands there, what is put in its place, the check that must complain). One that misses its break is no check.
BREAKS = [
    ("templates/statefulset.yaml", "revisionHistoryLimit: 3", "revisionHistory: 3", "kubernetes"),
    ("templates/service.yaml", "port: 10530", "port: \"10530\"", "kubernetes"),
    ("templates/servicemonitor.yaml", "scrapeTimeout: {{", "timeout: {{", "kubernetes"),
    ("templates/_helpers.tpl", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "hardened"),
    ("values.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "hardened"),
    ("values.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "hardened"),
    ("values.yaml", "drop: [ALL]", "drop: [NET_RAW]", "hardened"),
    ("values.yaml", "{type: RuntimeDefault}", "{type: Unconfined}", "hardened"),
    ("templates/_helpers.tpl", "value: \"131072\"", "value: \"0\"", "hardened"),
    ("templates/service.yaml", "publishNotReadyAddresses: true", "publishNotReadyAddresses: false", "coherent"),
    ("templates/service.yaml", "selector:\n    {{- include \"jdcloud.selector\"", "selector:\n    {{- include \"jdcloud.labels\"", "coherent"),
    ("templates/tests/check-live.yaml", "    helm.sh/chart: {{", "    {{- include \"jdcloud.selector\" . | nindent 4 }}\n    a: {{", "coherent"),
    ("templates/_helpers.tpl", "- name: secret-keys\n  mountPath", "- name: keys\n  mountPath", "coherent"),
    ("templates/statefulset.yaml", "$(POD_NAME)/{{ $shards }}", "$(POD_NAME)/2", "sharded"),
    ("templates/_helpers.tpl", "%s-%d.%s.%s.svc", "%s-%d-%s.%s.svc", "sharded"),
    ("templates/secret.yaml", "\ndata:", "\ndata: {}\nstringData:", "secret"),
    ("templates/configmap.yaml", "\ndata:", "\ndata:\n  key: {{ .Values.secretKeys.jcloud_00 }}", "secret"),
    ("templates/servicemonitor.yaml", "\"job\" \"jdcloud-cdn-windows\"", "\"job\" \"windows\"", "scraped"),
    ("templates/servicemonitor.yaml", "scheme: https", "scheme: http", "scraped"),
    ("files/rules.yml", "for: 6m", "for: 5m", "rules"),
    ("files/rules.yml", "max by (domain)", "max by domain", "rules"),
    ("templates/prometheusrule.yaml", "(printf \"vector(%v)\" (get", "(printf \"1 + vector(%v)\" (get", "rules"),
    ("templates/prometheusrule.yaml", "\"domain\" $domain", "\"host\" $domain", "rules"),
    ("templates/prometheusrule.yaml", "%s/docs/", "%s/doc/", "rules"),
    ("files/dashboards/fleet.json", "\"uid\"", "\"id\"", "dashboards"),
    ("templates/service.yaml", "kind: Service\nmetadata:", "kind: Service\nmetadata:\n  # {{ .Values.missing.kind }}", "lint"),
    ("Chart.yaml", "appVersion: \"", "appVersion: \"9", "versions"),
    ("files/rules.yml", "jdcloud-cdn-thresholds", "thresholds", "package"),
    (".helmignore", "ci/", "", "package"),
    ("values.schema.json", "\"affinity\":", "\"xffinity\": {},\n    \"affinity\":", "schema"),
    ("values.yaml", "priorityClassName: \"\"\n", "", "schema"),
    ("ci/everything-values.yaml", "priorityClassName: monitoring\n", "", "everything"),
    ("templates/statefulset.yaml", "/configmap.yaml", "/service.yaml", "checksums"),
    ("templates/statefulset.yaml", "/secret.yaml", "/service.yaml", "checksums"),
    ("values.schema.json", "\"demo\": {\"type\": \"boolean\"},", "\"demo\": {},", "refused"),
    ("templates/statefulset.yaml", "{{- include \"jdcloud.refuse\" . }}", "", "refused"),
    ("README.md", "api.example.com: {origin_ratio_high", "api.example.com: {origin_ratio", "documents"),
]


def complaints(chart, only=None):
    """Of all checks, or of the one called `only`."""
    for name, check in OF_CASES.items():
        for case, values in case_values(chart.folder).items() if only in (None, name) else ():
            yield from (f"{name}: {case}: {line}" for line in check(chart.render(values), values))
    for name, check in OF_CHART.items():
        if only in (None, name):
            yield from (f"{name}: {line}" for line in check(chart))


def blind_checks(folder):
    """The breaks that no check notices."""
    for file, old, new, name in BREAKS:
        broken = folder / "broken"
        shutil.copytree(SOURCE, broken)
        text = (broken / file).read_text()
        if old not in text:
            yield f"BREAKS: {file} has no {old!r} any more"
        (broken / file).write_text(text.replace(old, new))
        if next(complaints(Chart(broken), only=name), None) is None:
            yield f"BREAKS: {file} with {new!r} in place of {old!r}: the check {name!r} is content"
        shutil.rmtree(broken)


def main():
    binary = sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        # A copy without links, which Helm would remark on each time.
        folder = Path(temporary) / SOURCE.name
        shutil.copytree(SOURCE, folder)
        chart = Chart(folder, SOURCE)
        try:
            wrong = list(complaints(chart))
        except (helm_python.HelmError, CheckError) as error:
            wrong = [str(error)]
        if not wrong:
            wrong += blind_checks(Path(temporary))
            cases = {name: chart.render(values) for name, values in case_values(folder).items()}
            wrong += chart_run.complaints(binary, cases)
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"Helm {helm_python.helm_sdk_version()}: {len(cases)} cases, {len(REFUSED)} refusals, {len(BREAKS)} breaks noticed")


if __name__ == "__main__":
    main()
