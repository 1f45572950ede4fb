"""Journals made by hand, for those who read them."""

from __future__ import annotations

import json
import os
from typing import Any

from workqueue.engine.journal import day_of
from workqueue.jobs.ids import first_at

T = 1_782_864_000_000
"""2026-07-01, UTC."""


def job_id(ms: int, number: int = 0) -> str:
    """The id of a job that was submitted then."""
    return first_at(ms)[:10] + f"{number:016d}"


def write(root: str, entries: list[dict[str, Any]]) -> None:
    """Spread entries over writers and days, as workers would."""
    for number, entry in enumerate(entries):
        day = f"{root}/.fsq/journal/{day_of(entry['t'])}"
        os.makedirs(day, exist_ok=True)
        with open(f"{day}/{number % 3}.jsonl", "a") as file:
            file.write(json.dumps(entry) + "\n")
