"""Each fault of tests/mutants.toml in a copy of its own: the test that is named there must turn red."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from support.mutants import TOP, Mutant, mutants

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 300.0
"""Seconds: a mutant that hangs is killed, and counts as alive."""
GREEN, RED = 0, 1
"""What pytest exits with when tests passed, and when one failed."""


def main() -> int:
    """Try the mutants asked for; 0 only if every one died by its test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name has one of these words")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    chosen = [one for one in mutants() if not given.words or any(word in one.name for word in given.words)]
    with copied() as top:
        if pytest(top, sorted({one.red for one in chosen})) != GREEN:
            print("the tests are red without any mutant: run scripts/test first")
            return 1
    with ThreadPoolExecutor(given.at_once) as pool:
        alive = [name for name in pool.map(survives, chosen) if name]
    print(f"{len(chosen)} mutants, {len(chosen) - len(alive)} died by the test that is there for them")
    return 1 if alive else 0


def survives(mutant: Mutant) -> str | None:
    """The mutant's name, if its test does not notice it."""
    started = time.monotonic()
    with copied() as top:
        for file, text in mutant.texts(top).items():
            with open(os.path.join(top, file), "w", encoding="utf-8") as target:
                target.write(text)
        died = pytest(top, [mutant.red]) == RED
    seconds = time.monotonic() - started
    print(f"{'died' if died else 'ALIVE'}  {mutant.name}  ({seconds:.0f} s)  {mutant.red}", flush=True)
    return None if died else mutant.name


@contextlib.contextmanager
def copied() -> Iterator[str]:
    """A copy of the checkout."""
    with tempfile.TemporaryDirectory(prefix="fsq-mutant-") as directory:
        top = os.path.join(directory, "fsq")
        shutil.copytree(TOP, top, ignore=shutil.ignore_patterns(".build", ".git", "__pycache__", ".*_cache"))
        yield top


def pytest(top: str, tests: list[str]) -> int:
    """Run tests of a copy; pytest's exit status, or -9 if they took too long."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        environment = os.environ | {"PYTHONPATH": top}
        ran = subprocess.run(command, check=False, cwd=top, env=environment, capture_output=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return -9
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())
