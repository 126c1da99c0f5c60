"""Memory by the number of domains, and how rounds, renderings and reloads grow with it."""

import dataclasses
import math
import os
import statistics
import subprocess
import tempfile
import time

import parts
from parts import Row

SIZES = (100, 1_000, 10_000, 100_000)
BASE, PER_DOMAIN = 10e6, 2e3
MOST = 210e6
# As in deploy/: the C library gives freed memory back early.
TRIM = "MALLOC_TRIM_THRESHOLD_=131072"
# How much faster than the machine's the clock goes on that the memory is watched: a minute, the
# default interval, takes 6 s, and so does the round.
FASTER = 10
RELOADS = 5
# An exponent of 1 is linear; what is above it by no more is the noise of the fit.
TOLERANCE = 0.1


@dataclasses.dataclass
class Figures:
    """Of one exporter: seconds of processor time, and bytes."""
    round: float
    resident: int
    peak: int
    reload: float
    reloaded: int
    reload_peak: int


def measured(programs, size, environment=None):
    """A first round, three scrapes, some reloads."""
    with tempfile.TemporaryDirectory() as folder, parts.provider(programs, size) as upstream:
        config = parts.config(folder, upstream.address, size)
        with parts.exporter(programs, config, env=environment) as server:
            before = server.cpu_of_threads()
            parts.wait_until_ready(server, parts.PATIENCE + size / 200)
            took = server.cpu_of_threads() - before
            for _ in range(3):
                parts.fetch(server.port)
            resident, peak = server.memory(), server.memory("VmHWM")
            reloading = statistics.median(reload(server) for _ in range(RELOADS))
            parts.fetch(server.port)
            return Figures(
                took, resident, peak, reloading, server.memory(), server.memory("VmHWM"))


def rows(programs, options):
    sizes = [size for size in SIZES if size <= options.most_domains]
    found, renders = {}, {}
    for size in sizes:
        figures = found[size] = measured(programs, size)
        renders[size] = rendering(programs, size)
        allowed = MOST if size == 100_000 else BASE + PER_DOMAIN * size
        yield Row(
            f"resident memory, {size:,} domains at both endpoints, 1 h of windows, polled and scraped",
            f"{parts.megabytes(figures.resident)} ({parts.megabytes(figures.peak)} at most)",
            f"≤ {parts.megabytes(allowed)}", figures.resident <= allowed,
        )
        yield reloaded("after five reloads", figures)
    figures = measured(programs, sizes[-1], trimming())
    yield reloaded(f"{sizes[-1]:,} domains after five reloads with {TRIM}, as deploy/ has it", figures)
    if options.watch:
        yield from watched(programs, sizes[-1], options.watch)
    for what, times in (
        ("a first round", {size: figures.round for size, figures in found.items()}),
        ("a rendering, compressed", renders),
        ("a reload", {size: figures.reload for size, figures in found.items()}),
    ):
        yield fitted(f"growth of the processor time of {what}", times, parts.seconds)
    least = found[sizes[0]].resident
    beyond = {size: figures.resident - least for size, figures in found.items() if size > sizes[0]}
    yield fitted(f"growth of the memory beyond that of {sizes[0]} domains", beyond, parts.megabytes)


def reloaded(what, figures):
    return Row(
        what, f"{parts.megabytes(figures.reloaded)} ({parts.megabytes(figures.reload_peak)} at most)")


def trimming():
    """The environment of the unit and the image in deploy/."""
    name, value = TRIM.split("=")
    return {**os.environ, name: value}


def reload(server):
    before = server.cpu_of_threads()
    parts.fetch(server.port, "/-/reload", method="POST")
    return server.cpu_of_threads() - before


def rendering(programs, size):
    """The work with and without it, since its preparation takes longer."""
    times = max(5, 50_000 // size)
    spent = []
    for count in (0, times):
        before = os.times()
        subprocess.run(
            [programs.work, "render", str(size), str(count)], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        spent.append(sum(after[2:4]) - sum(before[2:4]))
    return (spent[1] - spent[0]) / times


def fitted(what, figures, unit):
    """The exponent of a power law through the figures, by least squares of their logarithms."""
    points = [(math.log(size), math.log(max(value, 1e-9))) for size, value in figures.items()]
    if len(points) < 2:
        return Row(what, "needs more sizes", "", None)
    slope = statistics.linear_regression(*zip(*points)).slope
    text = ", ".join(f"{unit(value)} at {size:,}" for size, value in figures.items())
    return Row(what, f"domains^{slope:.2f} ({text})", f"≤ ^{1 + TOLERANCE}", slope <= 1 + TOLERANCE)


def watched(programs, size, seconds):
    """The wall clocks of provider and exporter run faster, so that windows come and go; 100 domains
    a call, so that the provider keeps up."""
    library = faketime()
    environment = {
        **trimming(), "LD_PRELOAD": library, "FAKETIME": f"+0 x{FASTER}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
    }
    with tempfile.TemporaryDirectory() as folder, \
            parts.provider(programs, size, env=environment) as upstream:
        config = parts.config(folder, upstream.address, size, interval="6s", concurrency=8, batch=100)
        with parts.exporter(programs, config, env=environment) as server:
            parts.wait_until_ready(server, parts.PATIENCE + size / 200)
            polls = "jdcloud_cdn_exporter_polls_total"
            before, figures = parts.counter(server.port, polls), []
            end = time.monotonic() + seconds
            while len(figures) < 2 or time.monotonic() < end:
                parts.fetch(server.port)
                figures.append(server.memory())
                time.sleep(3)
            done = parts.counter(server.port, polls) - before
    a_round = 2 * math.ceil(size / 100)
    half = len(figures) // 2
    first, second = max(figures[:half]), max(figures[half:])
    allowed = MOST if size == 100_000 else BASE + PER_DOMAIN * size
    yield Row(
        f"highest resident memory of {size:,} domains in {seconds * FASTER / 60:.0f} minutes of a clock"
        f" {FASTER} times as fast, {done / a_round:.0f} rounds, 100 domains a call, scraped every half minute",
        f"{parts.megabytes(first)} in the first half, {parts.megabytes(second)} in the second",
        f"< {parts.megabytes(allowed)}, not growing",
        max(first, second) < allowed and second < first * 1.03,
    )


def faketime():
    parts.need("faketime", "faketime")
    found = subprocess.run(
        ["faketime", "-f", "+0", "env"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(line.split("=", 1)[1] for line in found.splitlines() if line.startswith("LD_PRELOAD="))
