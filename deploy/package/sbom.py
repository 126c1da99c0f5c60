"""What the binary is made of: the crates that are linked into it, as a CycloneDX bill of materials and as licence texts.

`cargo tree` says which crates these are, `cargo metadata` everything about them. The latter alone would not do: it counts what
only the tests switch on as well.
"""

import json
import re
import subprocess
import uuid
from datetime import datetime, timezone
from pathlib import Path

# Files of a crate that hold licence texts and notices.
LICENCE_FILE = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
# Names the bill's serial number is made from, so that the same sources give the same one.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "pkg:cargo/jdcloud-cdn-exporter")


def cargo(root, command, *arguments):
    return subprocess.run(["cargo", command, "--locked", *arguments], cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout


class Crates:
    """The project and the crates that are linked into its binary, by their ids in `cargo metadata`."""

    def __init__(self, root, target):
        metadata = json.loads(cargo(root, "metadata", "--format-version=1", f"--filter-platform={target}"))
        packages = {package["id"]: package for package in metadata["packages"]}
        tree = cargo(root, "tree", "--edges=normal", f"--target={target}", "--prefix=none", "--format={p}")
        linked = {tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()}
        own = {each for each, package in packages.items() if (package["name"], f"v{package['version']}") in linked}
        self.project = packages[metadata["resolve"]["root"]]
        self.linked = sorted((packages[each] for each in own - {self.project["id"]}), key=lambda crate: (crate["name"], crate["version"]))
        self.edges = {node["id"]: [edge["pkg"] for edge in node["deps"] if edge["pkg"] in own and any(kind["kind"] is None for kind in edge["dep_kinds"])]
                      for node in metadata["resolve"]["nodes"] if node["id"] in own}
        self.checksums = checksums((Path(root) / "Cargo.lock").read_text())

    def all(self):
        return [self.project, *self.linked]


def checksums(lock):
    """SHA-256 of each crate's archive, by name and version, from the text of Cargo.lock."""
    blocks = re.findall(r'^name = "(.+)"\nversion = "(.+)"\nsource = .*\nchecksum = "([0-9a-f]{64})"$', lock, re.M)
    return {(name, version): checksum for name, version, checksum in blocks}


def expression(crate):
    """The SPDX licence expression; crates of old write a slash for OR."""
    if not crate["license"]:
        raise SystemExit(f"package: crate {crate['name']} {crate['version']} names no licence")
    return re.sub(r"\s*/\s*", " OR ", crate["license"])


def reference(crate):
    return f"pkg:cargo/{crate['name']}@{crate['version']}"


def component(crate, kind, checksum):
    found = {"type": kind, "bom-ref": reference(crate), "name": crate["name"], "version": crate["version"],
             "licenses": [{"expression": expression(crate)}], "purl": reference(crate)}
    if crate["description"]:
        found["description"] = " ".join(crate["description"].split())
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if (crate["repository"] or "").startswith("https://"):
        found["externalReferences"] = [{"type": "vcs", "url": crate["repository"]}]
    return found


def bill(crates, epoch):
    """The bill of materials as the text of a CycloneDX 1.6 file."""
    references = {crate["id"]: reference(crate) for crate in crates.all()}
    linked = [component(crate, "library", crates.checksums.get((crate["name"], crate["version"]))) for crate in crates.linked]
    found = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(crates.project, "application", None),
        },
        "components": linked,
        "dependencies": sorted(({"ref": references[each], "dependsOn": sorted(references[other] for other in others)}
                                for each, others in crates.edges.items()), key=lambda entry: entry["ref"]),
    }
    # Of the content, so that two different bills never share it.
    found["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, json.dumps(found, sort_keys=True))}"
    return json.dumps(found, indent=2) + "\n"


def notices(crates):
    """Every crate with its licence and the texts that it comes with, each text once."""
    texts = {}
    lines = ["The libraries that this program contains, and their licences.", ""]
    for crate in crates.linked:
        lines.append(f"{crate['name']} {crate['version']}: {expression(crate)}")
        folder = Path(crate["manifest_path"]).parent
        for path in sorted(path for path in folder.iterdir() if path.is_file() and LICENCE_FILE.match(path.name)):
            text = "\n".join(line.rstrip() for line in path.read_text(errors="replace").splitlines()).strip("\n")
            texts.setdefault(text, []).append(f"{crate['name']} {crate['version']}")
    for text, names in texts.items():
        lines += ["", "-" * 100, f"The text that comes with {', '.join(names)}:", "", text]
    return "\n".join(lines) + "\n"
