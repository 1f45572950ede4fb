"""The pipeline: daily CSV files become clean flights, the flights a warehouse, the warehouse what people read.

    extract ──▶ transform ──▶ load            a job each, of every day
                                └─ ─ ─▶ publish    once, when the last day has ended: the batch calls it

    FLIGHTS_WORK=/data/work FLIGHTS_OUTPUT=/data/out fsq run ./etl.py:flights --drain

What lies between the stages are files in $FLIGHTS_WORK, made by `job.output`; the payloads carry their paths. So a file
and the job that will read it appear together, when the run that made them has succeeded, and never without it.
"""

import contextlib
import csv
import io
import os
import random
from collections.abc import Iterator
from typing import IO, Any

import cleaning
import extraction
import page
import warehouse
from tables import tables

from workqueue import Job, Reject, Snooze
from workqueue.pipeline import Pipeline, To

WORK, OUTPUT = "FLIGHTS_WORK", "FLIGHTS_OUTPUT"
FAILING = 1 / 16
BACKOFF = "0.2s..2s"

Payload = dict[str, Any]
flights = Pipeline("flights")


@flights.stage(to="transform", backoff=BACKOFF, reject_limit="5%")
def extract(job: Job) -> Iterator[To]:
    """Take a daily file apart; what is no daily file is hopeless, and a torn line is put aside."""
    try:
        with io.TextIOWrapper(job.open(), encoding="utf-8", newline="") as raw:
            day, lines, torn = extraction.take_apart(raw)
    except ValueError as error:  # no daily file, or not even UTF-8
        raise Reject(str(error)) from error
    job.count(read=len(lines) + len(torn), written=len(lines))
    for line in torn:
        job.reject(line.rstrip("\n"), "a torn line")
    with job.output(work("raw", f"{day}.csv"), "w") as file:
        file.writelines([extraction.HEADER, *lines])
    yield To("transform", {"day": day, "path": work("raw", f"{day}.csv")}, label=day)


@flights.stage(to="load", backoff=BACKOFF, reject_limit="5%")
def transform(payload: Payload, job: Job) -> Iterator[To]:
    """Clean a day's rows and join them with what else is known; what cannot have happened is put aside."""
    day = payload["day"]
    ask_weather_service(day, job.attempt)
    with open(payload["path"], encoding="utf-8", newline="") as lines:
        clean, impossible = cleaning.clean(lines, tables())
    job.count(read=len(clean) + len(impossible), written=len(clean))
    for row, reason in impossible:
        job.reject(row, reason)
    with job.output(work("clean", f"{day}.csv"), "w") as file:
        write_rows(file, clean)
    yield To("load", {"day": day, "path": work("clean", f"{day}.csv"), "rows": len(clean)}, label=day)


@flights.stage(limit=1, backoff=BACKOFF)
def load(payload: Payload, job: Job) -> None:
    """Put a day into the warehouse, in place of what is there of it: twice is as good as once."""
    with its_turn():
        warehouse.load(work("flights.duckdb"), payload["day"], payload["path"], payload["rows"])
    job.count(written=payload["rows"])


@flights.stage(source=True, backoff=BACKOFF)
def publish(payload: Payload, job: Job) -> None:
    """Make what people read: the aggregates, and a page. All of it appears at once, or none."""
    missing = payload.get("total", 0) - payload.get("done", 0)
    if missing:
        raise Reject(f"{missing} jobs of this batch are not done: mend and retry them, then submit {{}} to publish")
    with its_turn(), warehouse.opened(work("flights.duckdb"), read_only=True) as flown:
        for name in warehouse.AGGREGATES:
            with job.output(result(f"{name}.parquet")) as file:
                warehouse.write_parquet(flown, name, file.name)
        with job.output(result("flights.html"), "w") as file:
            file.write(page.html(flown, tables().airlines))


def ask_weather_service(day: str, attempt: int) -> None:
    """Stand for a service that is down at times: an attempt in sixteen fails, the same ones every night."""
    if random.Random(f"{day}, attempt {attempt}").random() < FAILING:
        raise ConnectionError("no answer from the weather service (on purpose)")


def write_rows(file: IO[str], clean: list[cleaning.Flight]) -> None:
    writer = csv.writer(file)
    writer.writerow(cleaning.Flight._fields)
    writer.writerows(clean)


@contextlib.contextmanager
def its_turn() -> Iterator[None]:
    """Come back in a moment if the warehouse is in use: a worker that outlives its killed supervisor may have it."""
    try:
        yield
    except warehouse.BusyError as busy:
        raise Snooze("100ms", "the warehouse is in use") from busy


def work(*names: str) -> str:
    return os.path.join(os.environ[WORK], *names)


def result(name: str) -> str:
    return os.path.join(os.environ[OUTPUT], name)
