"""Prints what the exporter reaches on this machine, as ratios to other programs where there are any.

    python3 benches/scale [--only scrape,poll,growth,instructions] [--quick] [--keep-instructions]

Builds the release binary and two helpers, starts whatever it measures on free ports of the loopback
address, and stops it again. Figures depend on the machine and on what else it does: this is no test,
and it ends with 0 whatever it measured. docs/performance.md says what each row means. Needs Linux,
cargo, and Debian's wrk, nginx-light, valgrind, faketime, golang-go and
golang-github-prometheus-client-golang-dev, which `.ci/parts bench` installs.
"""

import argparse
import sys

import growth
import instructions
import parts
import poll
import scrape

GROUPS = {"scrape": scrape, "poll": poll, "growth": growth, "instructions": instructions}


def main():
    parser = argparse.ArgumentParser(
        prog="benches/scale", description=__doc__.splitlines()[0],
        epilog="docs/performance.md says what each row means.")
    parser.add_argument("--only", default=",".join(GROUPS), help="groups of rows: " + ", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it works, not to measure")
    parser.add_argument(
        "--keep-instructions", action="store_true", help="write benches/instructions.txt anew")
    options = parser.parse_args()
    groups = options.only.split(",")
    for unknown in set(groups) - set(GROUPS):
        parser.error(f"there is no group {unknown}")
    options.pairs, options.seconds, options.latencies = (1, 1, 200) if options.quick else (5, 5, 2_000)
    options.most_domains = 1_000 if options.quick else 100_000
    # An hour of the faster clock.
    options.watch = 5 if options.quick else 360

    programs = parts.build()
    found = []
    for group in groups:
        for row in GROUPS[group].rows(programs, options):
            found.append(row)
            print(f"{group}: {row.what}: {row.measured} {row.target}", file=sys.stderr, flush=True)
    print(f"\n{parts.machine()}\n")
    print("| what | measured | target | met |\n|---|---|---|---|")
    for row in found:
        print(row.line())


if __name__ == "__main__":
    main()
