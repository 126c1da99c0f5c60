"""How many instructions decoding and rendering take, by callgrind, beside what is kept in
benches/instructions.txt."""

import re
import subprocess

import parts
from parts import Row

KEPT = parts.ROOT / "benches" / "instructions.txt"
# A change of more than this is shown.
NOTABLE = 0.05
# What is counted: the work, its size, and how many times more in the second run than in the first.
WORK = (
    ("decode-bandwidth-flow", 1, 200),
    ("decode-bandwidth-flow", 100, 20),
    ("decode-origin-ratio", 20, 50),
    ("render", 1_000, 2),
    ("render", 10_000, 1),
)


def rows(programs, options):
    counted = {f"{work} {size}": count(programs, work, size, times) for work, size, times in WORK}
    if options.keep_instructions:
        keep(counted)
    kept, toolchain = read()
    here = rustc()
    for name, instructions in counted.items():
        before = kept.get(name)
        if before is None:
            yield Row(f"instructions of {name}", f"{instructions:,}", "none kept", None)
            continue
        change = instructions / before - 1
        note = "" if toolchain == here else f", kept with {toolchain}"
        yield Row(
            f"instructions of {name}", f"{instructions:,} ({change:+.1%} of those kept{note})",
            "± 5 %", abs(change) <= NOTABLE)


def count(programs, work, size, times):
    """Of one piece of work: two runs that differ in nothing but how often it is done."""
    once = total(programs, work, size, 1)
    return round((total(programs, work, size, 1 + times) - once) / times)


def total(programs, work, size, times):
    valgrind = parts.need("valgrind", "valgrind")
    done = subprocess.run(
        [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", programs.work, work, str(size),
         str(times)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ).stderr
    return int(re.search(r"Collected : (\d+)", done)[1])


def rustc():
    return subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def read():
    if not KEPT.exists():
        return {}, None
    lines = KEPT.read_text().splitlines()
    toolchain = next((line[2:] for line in lines if line.startswith("# rustc")), None)
    pairs = (line.rsplit(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return {name: int(figure.replace(",", "")) for name, figure in pairs}, toolchain


def keep(counted):
    width = max(map(len, counted))
    lines = [f"{name:<{width}}  {figure:>13,}" for name, figure in counted.items()]
    KEPT.write_text("\n".join([
        "# Instructions of one piece of work and its number of domains, counted by callgrind in the",
        "# release build; `benches/scale --only instructions --keep-instructions` writes this file.",
        f"# {rustc()}", *lines, ""]))
