"""One night of ETL on one box: 365 files, a flaky service, a killed worker, and nothing lost.

The queue lies in a temporary directory, which is removed however this ends; what stays is the output
directory. Exit status: 0 if every total is right, 1 if one is not or the worker broke, 2 for wrong usage.
"""

import argparse
import os
import sys
import tempfile
import time
from typing import Any

import accident
import dataset
import output
import report
from ending import Ending
from spool import QUEUE, Spool
from supervisor import Supervisor, running

from workqueue import Producer

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
        status, summary = run_night(scratch.name, options, ending)
    finally:
        with ending.deferred():
            scratch.cleanup()
    if not summary:
        print(f"demo: the worker ended with status {status} and without a summary", file=sys.stderr)
        return 1
    return conclude(options.output, summary)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", default="flights-output", metavar="DIRECTORY", help="default: %(default)s")
    workers = min(4, max(2, os.cpu_count() or 2))
    parser.add_argument("--workers", type=int, default=workers, metavar="N", help="default here: %(default)s")
    return parser.parse_args()


def run_night(scratch: str, options: argparse.Namespace, ending: Ending) -> tuple[int, dict[str, Any]]:
    """Submit the year and run the workers until the queue is empty; return their status and summary."""
    spool = Spool(os.path.join(scratch, "root"))
    drop, summary = os.path.join(scratch, "drop"), os.path.join(scratch, "summary.json")
    os.mkdir(drop)
    jobs = submit_days(spool.root, drop)
    with running(spool, options.output, summary, workers=options.workers, ending=ending) as supervisor:
        watch(supervisor, spool, jobs)
        return supervisor.result()


def submit_days(root: str, drop: str) -> int:
    """Write each day's file into the drop directory, move it into the queue; return how many there are."""
    started = time.monotonic()
    producer = Producer(root, create=True)
    refs = []
    with dataset.flights_of_2013() as lines:
        for path in dataset.write_daily_files(lines, drop):
            day = os.path.basename(path).removesuffix(".csv")
            refs.append(producer.submit(file=path, mode="move", queue=QUEUE, label=day))
    say(f"{len(refs)} daily files written and submitted in {time.monotonic() - started:.1f} s")
    return len(refs)


def watch(supervisor: Supervisor, spool: Spool, jobs: int) -> None:
    """Follow the queue until it is empty; when a third is done, cause the accident."""
    killed, talked = "", time.monotonic()
    while supervisor.is_running():
        counts = spool.counts()
        done = jobs - sum(counts.values())
        if not killed and done > jobs / 3 and counts["new"]:
            killed = accident.kill_worker(supervisor, spool)
            say(killed)
        if not sys.stderr.isatty() and time.monotonic() - talked > TALK_EVERY:
            talked = time.monotonic()
            say(f"{done} of {jobs} done, {counts['cur']} running, {counts['later']} waiting for their retry")
        time.sleep(LOOK_EVERY)


def conclude(directory: str, summary: dict[str, Any]) -> int:
    """Print the report and write it beside the Parquet files; return 0 if they hold what the source holds."""
    say("adding up the Parquet files, and the source once more ...\n")
    loaded = report.from_parquet(output.parquet_files(directory))
    with dataset.flights_of_2013() as lines:
        source = report.from_source(lines)
    text = report.text(loaded, source, summary, dataset.airlines())
    with open(os.path.join(directory, output.REPORT), "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    say(text)
    return 0 if loaded == source else 1


def say(text: str) -> None:
    """Print text, in place of the progress line that a worker may have drawn on the terminal."""
    if text:
        wipe = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{wipe}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
