"""A root of its own with Debian packages in it, and the service in it as its unit would start it. Nothing of this machine changes."""

import os
import re
import shlex
import shutil
import signal
import subprocess
from contextlib import contextmanager

from .stack import CheckError, process, wait_for

NAME = "jdcloud-cdn-exporter"
# Folders that other packages of a real system have as well, so that dpkg leaves them when ours goes: each holds a file here.
SYSTEM = ("etc/systemd/system", "etc/default", "var/lib/systemd", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers",
          "usr/bin", "usr/share", "run/credentials")
TOOL_SECONDS = 60


class Root:
    """An empty system that knows of the C library only."""

    def __init__(self, folder):
        self.folder = folder
        for path in SYSTEM:
            (folder / path).mkdir(parents=True)
            if not path.startswith("var/lib/dpkg"):
                (folder / path / "other").touch()
        # The packages that ours depends on, in this machine's versions, as if they were unpacked here.
        known = subprocess.run(["dpkg-query", "--status", "libc6", "libgcc-s1"], stdout=subprocess.PIPE, text=True, check=True)
        (folder / "var/lib/dpkg/status").write_text(known.stdout)
        for package, architecture in re.findall(r"^Package: (\S+)\n(?:.+\n)*?Architecture: (\S+)$", known.stdout, re.M):
            (folder / f"var/lib/dpkg/info/{package}:{architecture}.list").touch()

    def dpkg(self, *arguments):
        """Runs dpkg on the root without a question to anybody. The maintainer scripts run outside of it and are told where it is."""
        as_root = [] if os.getuid() == 0 else ["fakeroot"]
        command = [*as_root, "dpkg", f"--root={self.folder}", f"--log={self.folder}/var/lib/dpkg/log", "--force-script-chrootless",
                   "--force-confdef", "--force-confold", *map(str, arguments)]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=environment, check=False, timeout=TOOL_SECONDS)
        if done.returncode != 0:
            raise CheckError(f"{' '.join(command)} gave {done.returncode}:\n{done.stdout}")
        return done.stdout

    def path(self, absolute):
        """Where a path of the root lies."""
        return self.folder / str(absolute).lstrip("/")

    def files(self):
        """Everything in the root but dpkg's own notes, by its path there."""
        found = {f"/{place.relative_to(self.folder)}" for place in self.folder.rglob("*")}
        return {path for path in found if not path.startswith("/var/lib/dpkg")}


class Unit:
    """What the installed unit says about the start of its service."""

    def __init__(self, root):
        self.root = root
        text = root.path(f"/usr/lib/systemd/system/{NAME}.service").read_text()
        self.settings = re.findall(r"^(\w+)=(.*)$", text, re.M)

    def all(self, key):
        return [value for name, value in self.settings if name == key]

    def may_start(self):
        return all(self.root.path(path).exists() for path in self.all("AssertPathExists"))

    def start_command(self):
        """Command and environment, with every path inside the root; the credentials are copied as systemd does at each start."""
        credentials = self.root.path(f"/run/credentials/{NAME}.service")
        shutil.rmtree(credentials, ignore_errors=True)
        credentials.mkdir(mode=0o700)
        for name, path in (value.split(":", 1) for value in self.all("LoadCredential")):
            shutil.copyfile(self.root.path(path), credentials / name)
        environment = {"PATH": os.environ["PATH"]}
        for value in self.all("Environment"):
            for pair in shlex.split(value):
                name, _, setting = pair.partition("=")
                environment[name] = setting.replace("%d", str(credentials))
        options = {}
        for value in self.all("EnvironmentFile"):
            path = self.root.path(value.lstrip("-"))
            # A sh assignment each, as systemd reads them.
            options.update(re.findall(r'^(\w+)="?([^"\n]*)"?$', path.read_text(), re.M))
        command = self.all("ExecStart")[0].replace("$OPTIONS", options.pop("OPTIONS", ""))
        command = re.sub(r"(^|=)(/(?:usr|etc)/)", rf"\g<1>{self.root.folder}\g<2>", command)
        return shlex.split(command), {**environment, **options}

    @contextmanager
    def keys_out_of_reach(self):
        """The service's user may not read what only root may; whoever runs this may, so the files are put away."""
        places = [self.root.path(value.split(":", 1)[1]) for value in self.all("LoadCredential")]
        for place in places:
            place.rename(f"{place}.away")
        try:
            yield
        finally:
            for place in places:
                place.with_name(f"{place.name}.away").rename(place)

    @contextmanager
    def running(self, log):
        """The service, until the block ends; gives its process and the address that it serves."""
        command, environment = self.start_command()
        with self.keys_out_of_reach(), process(command, log, env=environment) as child:
            def address():
                text = log.read_text()
                if child.poll() is not None:
                    raise CheckError(f"the service ended with {child.returncode}: {text}")
                found = re.search(r"listening.* address=([0-9.:]+)", text)
                return found, found.group(1) if found else text
            yield child, wait_for("address of the service", address, 10)


def reload(child):
    """What ExecReload does."""
    child.send_signal(signal.SIGHUP)
