"""The flights pipeline under kill -9: a worker every so often, now and then its supervisor, until all is done."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples", "flights"))

import check
from delivery import deliver
from places import Places
from supervisor import children, start, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor import Process

PATIENT = {"FSQ_MAX_ATTEMPTS": "10000", "FSQ_BACKOFF": "20ms..200ms"}
"""Each death costs an attempt, and here is nobody whom the last one would tell anything."""
SHOWN = 10


@dataclass
class Round:
    """What a round came to."""

    workers: int = 0
    supervisors: int = 0
    seconds: float = 0.0
    attempts: int = 0
    deaths: int = 0


def main() -> int:
    """Storm round by round; 0 only if each gives what a plain computation gives."""
    given = arguments()
    for number in range(1, given.rounds + 1):
        directory = tempfile.mkdtemp(prefix="fsq-flights-storm-", dir=given.dir)
        result = os.path.join(directory, "result")
        os.mkdir(result)
        places = Places(directory, result)
        days = deliver(places)
        try:
            told = storm(places, given, random.Random(given.seed + number))
        except Calm as calm:
            print(f"round {number}: {calm}; kept for a look: {directory}")
            return 1
        differences = check.differences(places)
        print(
            f"round {number}: {days} days in {told.seconds:.0f} s; kill -9 of {told.workers} workers and"
            f" {told.supervisors} supervisors; {told.attempts:,} attempts, {told.deaths} of them ended by death; "
            + ("every row once, all files byte-identical" if not differences else f"{len(differences)} differences"),
            flush=True,
        )
        if differences:
            print(*differences[:SHOWN], f"kept for a look: {directory}", sep="\n")
            return 1
        shutil.rmtree(directory)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--every", type=float, default=0.2, metavar="SECONDS", help="between two kills (default 0.2)")
    parser.add_argument("--supervisor", type=int, default=15, metavar="N", help="one kill in N is its (default 15)")
    parser.add_argument("--workers", type=int, default=4, help="default 4")
    parser.add_argument("--patience", type=float, default=900.0, metavar="SECONDS", help="for a round (default 900)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", default=None, help="where to work (default: a temporary directory)")
    return parser.parse_args()


class Calm(Exception):
    """A round that did not come to its end."""


def storm(places: Places, given: argparse.Namespace, dice: random.Random) -> Round:
    """Kill until all is done; raise Calm if that does not come. What the supervisors say goes to a file."""
    with open(os.path.join(os.path.dirname(places.root), "log"), "ab") as log:
        return rain(places, given, dice, lambda: start(places, given.workers, log, **PATIENT))


def rain(places: Places, given: argparse.Namespace, dice: random.Random, begin: Callable[[], Process]) -> Round:
    told, began = Round(), time.monotonic()
    process = begin()
    try:
        while not has_ended(process, given.every):
            if time.monotonic() - began > given.patience:
                raise Calm(f"not done in {given.patience:.0f} s")
            if dice.randrange(given.supervisor):
                told.workers += kill_a_worker(process, dice)
            else:
                process.kill()
                process.wait()
                told.supervisors += 1
                process = begin()
    finally:
        stop(process)
    told.seconds = time.monotonic() - began
    if process.returncode != 0:
        raise Calm(f"fsq run ended with {process.returncode}")
    told.attempts, told.deaths = attempts(places.root)
    return told


def has_ended(process: Process, within: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(within)
        return True
    return False


def kill_a_worker(process: Process, dice: random.Random) -> int:
    workers = list(children(process.pid))
    if not workers:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(dice.choice(workers), signal.SIGKILL)
        return 1
    return 0


def attempts(root: str) -> tuple[int, int]:
    """Count the attempts of all jobs by the journal, and those that a death ended."""
    command = [sys.executable, "-m", "workqueue", "--root", root, "report", "--json"]
    queues = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["queues"]
    return sum(queue["attempts"] for queue in queues), sum(queue["deaths"] for queue in queues)


if __name__ == "__main__":
    sys.exit(main())
