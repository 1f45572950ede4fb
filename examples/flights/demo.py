"""One night of ETL on one box: 365 files, a flaky service, a killed worker, and nothing lost.

The queue lies in a temporary directory, which is removed however this ends; what stays is the output directory. Exit
status: 0 if the result is that of a plain computation, 1 if it is not or the run broke, 2 for wrong usage.
"""

import argparse
import os
import sys
import tempfile
import time
from typing import Any

import accident
import check
import output
import report
from delivery import deliver
from ending import Ending
from places import Places
from spool import Spool
from supervisor import Supervisor, running
from tables import tables

LOOK_EVERY, TALK_EVERY = 0.05, 2.0


def main() -> int:
    options = arguments()
    ending = Ending()
    try:
        output.prepare(options.output)
    except (output.NotOursError, OSError) as error:
        print(f"demo: {error}; --output DIRECTORY takes another", file=sys.stderr)
        return 2
    scratch = tempfile.TemporaryDirectory(prefix="fsq-flights-")
    try:
        places = Places(scratch.name, options.output)
        status, summary = run_night(places, options.workers, ending)
        if not summary:
            print(f"demo: the run ended with status {status} and without a summary", file=sys.stderr)
            return 1
        return conclude(places, summary)
    finally:
        with ending.deferred():
            scratch.cleanup()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", default="flights-output", metavar="DIRECTORY", help="default: %(default)s")
    workers = min(4, max(2, os.cpu_count() or 2))
    parser.add_argument("--workers", type=int, default=workers, metavar="N", help="default here: %(default)s")
    return parser.parse_args()


def run_night(places: Places, workers: int, ending: Ending) -> tuple[int, dict[str, Any]]:
    """Submit the year and run the pipeline until nothing is left to do; return its status and summary."""
    started = time.monotonic()
    days = deliver(places)
    say(f"{days} daily files written, and submitted as one batch, in {time.monotonic() - started:.1f} s")
    with running(places, workers=workers, ending=ending) as supervisor:
        watch(supervisor, places, days)
        return supervisor.result()


def watch(supervisor: Supervisor, places: Places, days: int) -> None:
    """Follow the run until it ends; when a third of the days is clean, cause the accident."""
    spool = Spool(places.root)
    killed, talked = "", time.monotonic()
    while supervisor.is_running():
        clean = places.transformed()
        if not killed and clean > days / 3:
            killed = accident.kill_worker(supervisor, spool)
            say(killed)
        if not sys.stderr.isatty() and time.monotonic() - talked > TALK_EVERY:
            talked = time.monotonic()
            waiting = ", ".join(f"{count} for {stage}" for stage, count in spool.waiting().items())
            say(f"{clean} of {days} days are clean; jobs that wait: {waiting}")
        time.sleep(LOOK_EVERY)


def conclude(places: Places, summary: dict[str, Any]) -> int:
    """Print the report and write it beside the Parquet files; return 0 if they are what they should be."""
    say("computing all of it once more, in one process and without a queue ...\n")
    differences = check.differences(places)
    rejects = check.rejected(places.root).total()
    text = report.text(places.result, tables().airlines, rejects, summary, differences)
    with open(os.path.join(places.result, output.REPORT), "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    say(text)
    say(f"\nIn {places.result}: flights.html for people, five Parquet files, and run.html, the report of the run")
    return 1 if differences else 0


def say(text: str) -> None:
    """Print text, in place of the progress that the run may have drawn on the terminal."""
    if text:
        wipe = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{wipe}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
