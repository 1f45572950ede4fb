"""The power cuts of the test suite, at length."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from support import images
from support.power_cut import Cutter, Found

AT_ONCE = 10
"""Cuts of one file system, then a new one is made."""


def main() -> int:
    """Cut as often as asked, and print what was found; 0 only if nothing was lost anywhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=20, help="for each file system (default 20)")
    parser.add_argument("--only", choices=list(images.SIZES), action="append", help="this file system; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", default=None, help="where the images are; memory is quick")
    given = parser.parse_args()
    clean = True
    for kind in given.only or images.SIZES:
        if (reason := images.why_not(kind)) is not None:
            print(f"{kind}: not tried: {reason}")
            continue
        found = cut(kind, given.cuts, given.seed, given.dir)
        print("\n  ".join([found.line(), *found.problems[:20]]), flush=True)
        clean = clean and not found.problems
    return 0 if clean else 1


def cut(kind: str, cuts: int, seed: int, where: str) -> Found:
    """Some cuts of each of some file systems, summed."""
    found = Found(kind)
    for n in range(0, cuts, AT_ONCE):
        directory = tempfile.mkdtemp(prefix="fsq-power-", dir=where)
        try:
            found += Cutter(kind, directory, seed + n).run(min(AT_ONCE, cuts - n))
        finally:
            shutil.rmtree(directory)
    return found


if __name__ == "__main__":
    sys.exit(main())
