"""The packages: packed twice, looked through, installed, upgraded, removed and purged in a root of their own, and tried by a newcomer."""

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import stack
from .installed import NAME, Root, Unit, reload
from .stack import CheckError, wait_for

DEPLOY = Path(__file__).resolve().parents[1]
ROOT = DEPLOY.parent
# Whom the packages are from and of when they are, here; both are facts of the history otherwise.
GIVEN = {"DEBFULLNAME": "The checks", "DEBEMAIL": "checks@debian.org", "SOURCE_DATE_EPOCH": "1790000000"}
NEEDED = {"dpkg-shlibdeps": "dpkg-dev", "lintian": "lintian", **({} if os.getuid() == 0 else {"fakeroot": "fakeroot"})}
TOOL_SECONDS = 120
# A first round against the demo takes a second or two; a poll comes every 15 s or sooner.
ROUND_SECONDS = 30


def run(*arguments, environment=None, code=0):
    """Standard output and error of a command, which must end with `code`."""
    done = subprocess.run([str(argument) for argument in arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=TOOL_SECONDS,
                          env={**os.environ, **(environment or {})})
    if done.returncode != code:
        raise CheckError(f"{' '.join(map(str, arguments))} gave {done.returncode} rather than {code}:\n{done.stdout.strip()}")
    return done.stdout


def expect(held, what):
    if not held:
        raise CheckError(what)


class Packages:
    """Both packages of a binary, made twice."""

    def __init__(self, binary, folder):
        def pack(name):
            run(DEPLOY / "package" / "pack", f"--binary={binary}", f"--output={folder / name}", environment=GIVEN)
            return folder / name
        with ThreadPoolExecutor() as pool:
            first, second = pool.map(pack, ("first", "second"))
        self.folder, self.again = first, second
        self.deb, = first.glob("*.deb")
        self.tarball, = first.glob("*.tar.gz")
        self.bill, = first.glob("*.cdx.json")


# --- What is in them -------------------------------------------------------------------------------------------

def the_same_bytes_twice(packages):
    names = [sorted(path.name for path in folder.iterdir()) for folder in (packages.folder, packages.again)]
    expect(names[0] == names[1] and len(names[0]) == 4, f"not the same files twice: {names}")
    for name in names[0]:
        expect((packages.folder / name).read_bytes() == (packages.again / name).read_bytes(), f"{name}: packed twice, it differs")
    sums = dict(reversed(line.split("  ")) for line in (packages.folder / "SHA256SUMS").read_text().splitlines())
    for name in set(names[0]) - {"SHA256SUMS"}:
        expect(sums.get(name) == hashlib.sha256((packages.folder / name).read_bytes()).hexdigest(), f"SHA256SUMS is wrong about {name}")


def lintian_is_content(packages, binary):
    # A debug build has its symbols; what is released has none.
    debug = [] if Path(binary).parent.name == "release" else ["--suppress-tags=unstripped-binary-or-object"]
    run("lintian", "--allow-root", "--fail-on=error,warning", *debug, packages.deb)


def the_tarball_is_whole(packages, folder):
    with tarfile.open(packages.tarball) as archive:
        expect(all(member.uid == 0 and not member.name.startswith("/") for member in archive), "the tarball has odd owners or paths")
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    place = folder / packages.tarball.name.removesuffix(".tar.gz")
    for name in (NAME, "LICENSE", "README.md", "sbom.cdx.json", "THIRD-PARTY.txt", f"man/{NAME}.1", "config/exporter.yaml",
                 f"completions/{NAME}.bash", f"completions/_{NAME}", f"completions/{NAME}.fish", "deploy/prometheus/rules.yml",
                 f"deploy/systemd/{NAME}.service", "deploy/grafana/dashboards/fleet.json"):
        expect((place / name).stat().st_size > 0, f"the tarball's {name} is empty")
    expect(run(place / NAME, "--config.example") == (place / "config/exporter.yaml").read_text(), "binary and sample do not match")
    # Nobody who unpacks it should meet a link that leads nowhere.
    for document in (place / "README.md", place / "deploy/README.md", place / "docs/README.md"):
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
        for link in (link for link in links if "://" not in link):
            expect((document.parent / link).exists(), f"the tarball's {document.relative_to(place)} links to {link}, which is not in it")


def the_bill_names_what_is_linked(packages):
    python = os.environ.get("JDCLOUD_TEST_PYTHON", sys.executable)
    run(python, DEPLOY / "checks" / "sbom_schema.py", packages.bill)
    bill = json.loads(packages.bill.read_text())
    told = {(crate["name"], crate["version"]) for crate in bill["components"]}
    locked = set(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', (ROOT / "Cargo.lock").read_text(), re.M))
    expect(told <= locked, f"the bill has what Cargo.lock has not: {sorted(told - locked)}")
    manifest = (ROOT / "Cargo.toml").read_text()
    named = {kind: set(re.findall(r"^([\w-]+) = ", re.search(rf"^\[{kind}\]\n((?:.+\n)+)", manifest, re.M).group(1), re.M))
             for kind in ("dependencies", "dev-dependencies")}
    names = {name for name, _ in told}
    expect(named["dependencies"] <= names, f"the bill lacks {sorted(named['dependencies'] - names)}")
    tests_only = (named["dev-dependencies"] - named["dependencies"]) & names
    expect(not tests_only, f"the bill names what only the tests use: {sorted(tests_only)}")
    expect(all(crate["hashes"][0]["alg"] == "SHA-256" for crate in bill["components"]), "a crate has no check sum")


# --- In a root of its own --------------------------------------------------------------------------------------

def newer(deb, folder):
    """The package as its next version might be: another sample, other defaults."""
    tree = folder / "newer"
    run("dpkg-deb", "--raw-extract", deb, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: (.+)$", r"Version: \1+next", control.read_text(), flags=re.M))
    for path in (f"etc/{NAME}/exporter.yaml", f"etc/default/{NAME}"):
        (tree / path).write_text((tree / path).read_text() + "# New in the next version.\n")
    path = folder / "newer.deb"
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, path)
    return path


def it_comes_and_goes(packages, folder):
    """Install, upgrade, remove, install, purge."""
    next_version = newer(packages.deb, folder)
    root = Root(folder / "lifecycle")
    config, default, key, enabled = (root.path(path) for path in (
        f"/etc/{NAME}/exporter.yaml", f"/etc/default/{NAME}", f"/etc/{NAME}/secret.key",
        f"/etc/systemd/system/multi-user.target.wants/{NAME}.service"))
    before = root.files()

    said = root.dpkg("--install", packages.deb)
    expect(f"not started, since there is no /etc/{NAME}/secret.key" in said, f"a fresh package should say why it does not run:\n{said}")
    expect(enabled.is_symlink() and not enabled.with_name(f"{NAME}.socket").exists(), "enabled should be the service and not the socket")
    manual = gzip.decompress(root.path(f"/usr/share/man/man1/{NAME}.1.gz").read_bytes()).decode()
    expect(manual.startswith(".TH JDCLOUD"), "there is no manual page")
    doc = root.path(f"/usr/share/doc/{NAME}/deploy/prometheus/rules.yml")
    expect(doc.resolve().read_bytes() == (DEPLOY / "prometheus/rules.yml").read_bytes(), "the documents' link to the rules leads nowhere")

    # The administrator sets it up, and does not want it at boot.
    edited = config.read_text().replace("www.a.com", "www.edited.example")
    config.write_text(edited)
    key.write_text("made-up\n")
    enabled.unlink()
    said = root.dpkg("--install", next_version)
    expect(config.read_text() == edited, "the upgrade changed a configuration that was edited")
    expect("next version" in default.read_text(), "the upgrade did not renew a file that nobody edited")
    expect("www.a.com" in config.with_name("exporter.yaml.dpkg-dist").read_text(), "the new sample is not beside the edited one")
    expect(not enabled.exists() and not enabled.is_symlink(), "the upgrade enabled a service that was disabled")
    expect("not started" not in said, f"the key is there, and it is still asked for:\n{said}")

    root.dpkg("--remove", NAME)
    expect(not root.path(f"/usr/bin/{NAME}").exists(), "the program is still there")
    expect(config.read_text() == edited and key.exists(), "removing took the configuration or the key along")
    root.dpkg("--install", next_version)
    expect(config.read_text() == edited, "installing again lost the configuration")
    root.dpkg("--purge", NAME)
    expect(root.files() == before, f"purging left {sorted(root.files() - before)} and took {sorted(before - root.files())}")


def a_newcomer_gets_there(packages, binary, folder):
    """What README.Debian says, step by step, with the demo's provider: set up, start, break the key, read why, mend it."""
    root = Root(folder / "newcomer")
    root.dpkg("--install", packages.deb)
    guide = root.path(f"/usr/share/doc/{NAME}/README.Debian").read_text()
    config, key = root.path(f"/etc/{NAME}/exporter.yaml"), root.path(f"/etc/{NAME}/secret.key")
    program, unit = root.path(f"/usr/bin/{NAME}"), Unit(root)
    told = re.search(rf"^ +{NAME} (check .*)$", guide, re.M).group(1)

    def check(*more, code):
        # The paths of the guide, in the root; so also the key's in the sample.
        config.write_text(re.sub(r"secret_key_file: .*/etc/", f"secret_key_file: {root.folder}/etc/", config.read_text()))
        return run(program, *told.replace("/etc/", f"{root.folder}/etc/").split(), *more, code=code)

    expect(not unit.may_start(), "without a key, the unit should not start")
    said = check(code=2)
    expect(f"{config}: accounts[0].secret_key_file: {key} does not exist; write the key to it" in said, f"no word about the key:\n{said}")

    with stack.demo(binary, folder):
        provider = re.search(r"^  base_url: (\S+)\naccounts:\n  - username: (\S+)\n    secret_key: (\S+)\n    domains:\n      - (\S+)$",
                             (folder / "demo.log").read_text(), re.M)
        base_url, username, secret, domain = provider.groups()
        key.write_text(f"{secret}\n")
        sample = config.read_text()
        for old, new in (("base_url: https://opencdn.jcloud.com", f"base_url: {base_url}"), ("username: your_username", f"username: {username}"),
                         ("- www.a.com", f"- {domain}"), ("interval: 60s", "interval: 1s")):
            expect(old in sample, f"the sample no longer has {old}")
            sample = sample.replace(old, new)
        # The guide says that the domains are at the end; the sample's second one is removed.
        sample = sample[:sample.index("      # This form chooses the endpoints")]
        config.write_text(sample)
        root.path(f"/etc/default/{NAME}").write_text('OPTIONS="--web.listen-address=127.0.0.1:0"\n')

        expect("bandwidth_flow: good" in check(code=0), "check --live does not call a good key good")
        expect(unit.may_start(), "with a key, the unit should start")
        with unit.running(folder / "service.log") as (child, address):
            gauge = f'jdcloud_cdn_bandwidth_bytes_per_second{{domain="{domain}"}}'
            wait_for("gauges of the service", lambda: (gauge in (text := stack.get(f"http://{address}/metrics")[1]), text[-500:]), ROUND_SECONDS)
            expect("signature" not in stack.get(f"http://{address}/")[1], "the status page speaks of the signature though all is well")
            expect("healthy" in run(program, "healthcheck", f"--web.listen-address={address}"), "the health check is not content")
            # A reload takes another list of domains, and refuses a mistake with its place.
            config.write_text(sample.replace("interval: 1s", "intervall: 1s"))
            reload(child)
            log = folder / "service.log"
            wait_for("word of the refused reload", lambda: ("poll.intervall: is an unknown key; did you mean interval?" in (text := log.read_text()), text), 10)
            config.write_text(sample)

        key.write_text("wrong-key\n")
        said = check(code=1)
        expect("signature" in said and "secret key" in said, f"check --live does not explain a wrong key:\n{said}")
        with unit.running(folder / "service.log") as (child, address):
            down = f'jdcloud_cdn_up{{domain="{domain}",endpoint="bandwidth_flow"}} 0'
            wait_for("up at 0", lambda: (down in (text := stack.get(f"http://{address}/metrics")[1]), text[-500:]), ROUND_SECONDS)
            log = folder / "service.log"
            wait_for("reason in the log", lambda: ("reason=signature" in (text := log.read_text()), text), ROUND_SECONDS)
            expect("signature" in stack.get(f"http://{address}/")[1], "the status page has no reason")
        key.write_text(f"{secret}\n")
        with unit.running(folder / "service.log") as (child, address):
            up = down.removesuffix(" 0") + " 1"
            wait_for("up at 1", lambda: (up in (text := stack.get(f"http://{address}/metrics")[1]), text[-500:]), ROUND_SECONDS)


def check(binary, without_part):
    """All of it with a binary that is already built."""
    for tool, package in NEEDED.items():
        if not shutil.which(tool):
            return without_part("packages", f"{tool} is not installed (Debian: {package})")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        packages = Packages(binary, folder)
        the_same_bytes_twice(packages)
        lintian_is_content(packages, binary)
        the_tarball_is_whole(packages, folder)
        the_bill_names_what_is_linked(packages)
        it_comes_and_goes(packages, folder)
        a_newcomer_gets_there(packages, binary, folder)
