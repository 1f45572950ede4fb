"""A pipeline whose middle stage is a program: a log is split into hours, awk counts each, Python keeps what it found.

    split ──▶ count (awk) ──▶ keep

`fsq submit '{"log": "access.log"}' -q split`, then `TRAFFIC=/data/traffic fsq run ./traffic.py:traffic --drain`.
"""

import itertools
import json
import os
import shlex
from collections.abc import Iterator
from typing import Any

from workqueue import Job
from workqueue.pipeline import Pipeline, To

OUTPUT = "TRAFFIC"
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "count.awk")

traffic = Pipeline("traffic")


@traffic.stage(to="count")
def split(payload: dict[str, str]) -> Iterator[To]:
    """Make a job of each hour of a log: its payload is the lines themselves."""
    with open(payload["log"], encoding="utf-8") as log:
        for hour, lines in itertools.groupby(log, key=hour_of):
            yield To("count", "".join(lines), label=hour)


# What awk writes is a job for the next stage, line by line, and how it exits is the verdict: see count.awk.
traffic.program("count", f"awk -f {shlex.quote(SCRIPT)} {{path}}", to="keep", lines="json", backoff="0.1s..1s")


@traffic.stage
def keep(payload: dict[str, Any], job: Job) -> None:
    """Keep the counts of an hour as a file."""
    with job.output(os.path.join(os.environ[OUTPUT], f"{payload['hour']}.json"), "w") as file:
        json.dump(payload, file)


def hour_of(line: str) -> str:
    """`… [01/Jul/2026:05:12:33 +0000] …` is of 05."""
    return line.partition("[")[2].split(":")[1]
