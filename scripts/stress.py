"""The storm of the test suite, at length."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from support.storm import Plan, Storm


def main() -> int:
    """Storm for the time asked, and print the report; 0 only if it is clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long processes are killed (default 1)")
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs at least (default 20000)")
    parser.add_argument("--supervisors", type=int, default=4)
    parser.add_argument("--workers", type=int, default=8, help="for each supervisor (default 8)")
    parser.add_argument("--producers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", default=None, help="where to work (default: a temporary directory)")
    given = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="fsq-stress-", dir=given.dir)
    plan = Plan(
        given.jobs, given.supervisors, given.workers, given.producers, seconds=given.minutes * 60, seed=given.seed
    )
    report = Storm(directory, plan).run()
    print("\n".join(report.lines()))
    if not report.is_clean:
        print(f"kept for a look: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
