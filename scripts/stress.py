"""The storm of the test suite, at length; with --soak, a million jobs in peace, and whether anything grows."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from support.soak import Soak, SoakPlan, compared
from support.storm import Plan, Storm

LONG_STOP = 12.0
"""Seconds: longer than whoever wants a key waits for a process that has stopped with its lock."""


def main() -> int:
    """Storm or soak, and print the report; 0 only if it is clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long blows fall (default 1)")
    parser.add_argument("--jobs", type=int, default=None, help="jobs at least (default 20000; in a soak 1000000)")
    parser.add_argument("--supervisors", type=int, default=4)
    parser.add_argument("--workers", type=int, default=8, help="for each supervisor (default 8)")
    parser.add_argument("--producers", type=int, default=4)
    parser.add_argument("--blind", type=int, default=1, help="supervisors that have no inotify (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--soak", action="store_true", help="no blows: many jobs, and whether anything grows")
    parser.add_argument("--dir", default=None, help="where to work (default: a temporary directory)")
    given = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="fsq-stress-", dir=given.dir)
    is_clean = soak(given, directory) if given.soak else storm(given, directory)
    if not is_clean:
        print(f"kept for a look: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


def storm(given: argparse.Namespace, directory: str) -> bool:
    """Storm for the time asked."""
    plan = Plan(
        given.jobs or 20_000,
        given.supervisors,
        given.workers,
        given.producers,
        blind=given.blind,
        seconds=given.minutes * 60,
        longest_stop=LONG_STOP,
        longest_job=0.15,
        drowsiness=0.003,
        seed=given.seed,
    )
    report = Storm(directory, plan).run()
    print("\n".join(report.lines()))
    return report.is_clean


def soak(given: argparse.Namespace, directory: str) -> bool:
    """Run many jobs in peace, with a line of figures every few seconds."""
    run = Soak(directory, SoakPlan(given.jobs or 1_000_000), tell=lambda text: print(text, flush=True))
    grown = run.run()
    print("\n".join(["", *compared(run.samples, run.idle), *grown, "" if grown else "nothing grew"]))
    return not grown


if __name__ == "__main__":
    sys.exit(main())
