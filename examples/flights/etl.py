"""The handler: one daily CSV file becomes one Parquet file in $FLIGHTS_OUTPUT.

    FLIGHTS_OUTPUT=/data/flights fsq worker --handler etl.py:load -q flights

A file that is dirty is rejected: it will not change, so further attempts would be a waste. Anything else
that goes wrong is raised as it is, and the worker's retry policy decides.
"""

import os
import random
from datetime import date

from cleaning import DirtyError, Flight, clean

from workqueue import Job, Reject

FAILING = 1 / 16


def load(job: Job) -> None:
    """Clean a day's flights and put them where the report finds them."""
    # Not at the top: pyarrow starts threads when it is imported, and the process that forks has none.
    from parquet import write_parquet

    flights = clean_file(job.path)
    day = flights[0].day
    ask_catalogue(day, job.attempt)
    write_parquet(flights, os.path.join(os.environ["FLIGHTS_OUTPUT"], f"{day}.parquet"))


def clean_file(path: str) -> list[Flight]:
    try:
        with open(path, encoding="utf-8", newline="") as lines:
            return clean(lines)
    except DirtyError as dirty:
        raise Reject(str(dirty)) from dirty


def ask_catalogue(day: date, attempt: int) -> None:
    """Stand for a service that is down at times: an attempt in sixteen fails, the same ones every night."""
    if random.Random(f"{day}, attempt {attempt}").random() < FAILING:
        raise ConnectionError("no answer from the catalogue (on purpose)")
