"""What the journal tells of the runs of pipelines."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.journals import T
from workqueue.engine.journal import day_of
from workqueue.engine.root import Root
from workqueue.errors import BadSetting, NothingFound
from workqueue.pipeline.runs import Run, find_run

if TYPE_CHECKING:
    from support.fsq import Fsq

A, B, C = (f"01M895B2AM1DC63C43FE6MCZ9{end}" for end in "ABC")


def tell(root: str, *entries: tuple[int, str, str, str]) -> None:
    """Write starts and ends, as supervisors do."""
    for t, event, run, pipeline in entries:
        line: dict[str, Any] = {"t": T + t, "event": event, "run": run, "pipeline": pipeline}
        if event == "started":
            line["queues"] = "extract, load"
        directory = f"{root}/.fsq/journal/{day_of(T + t)}"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/supervisor{'-1' if t % 2 else ''}.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")


def test_a_run_goes_from_its_start_to_its_end(root: str) -> None:
    """One that was killed ends where its pipeline starts again; one that has not ended has no end."""
    day = 86_400_000
    tell(
        root,
        (1, "started", A, "etl"), (2, "started", B, "other"), (3, "drained", A, "etl"),
        (day + 4, "started", C, "etl"), (day + 6, "started", A[:-1] + "D", "etl"),
    )  # fmt: skip
    place = Root(root)
    queues = ("extract", "load")
    assert find_run(place, A) == Run(A, "etl", queues, T + 1, T + 3)
    assert find_run(place, B).end is None
    assert find_run(place, C.lower()) == Run(C, "etl", queues, T + day + 4, T + day + 6)
    assert find_run(place, "last").id == A[:-1] + "D"
    assert find_run(place, "CZ9B").pipeline == "other"


def test_a_run_that_starts_anew_has_one_start_and_its_last_end(root: str) -> None:
    tell(root, (1, "started", A, "etl"), (2, "stopped", A, "etl"), (3, "started", A, "etl"))
    assert (find_run(Root(root), A).start, find_run(Root(root), A).end) == (T + 1, None)
    tell(root, (5, "stopped", A, "etl"))
    assert (find_run(Root(root), A).start, find_run(Root(root), A).end) == (T + 1, T + 5)


def test_a_run_beside_another_keeps_its_own_end(root: str) -> None:
    tell(root, (1, "started", A, "etl"), (2, "started", B, "etl"), (4, "drained", A, "etl"), (5, "drained", B, "etl"))
    assert [find_run(Root(root), run).end for run in (A, B)] == [T + 4, T + 5]


def test_a_run_that_cannot_be_found_is_told(root: str, fsq: Fsq) -> None:
    with pytest.raises(NothingFound, match="knows of no pipeline's run"):
        find_run(Root(root), "last")
    tell(root, (1, "started", A, "etl"), (2, "started", B[:-2] + "8A", "etl"))
    with pytest.raises(NothingFound, match="knows of no such run"):
        find_run(Root(root), C)
    with pytest.raises(BadSetting, match="last, or a run's id, or the last 4"):
        find_run(Root(root), "9A")
    tell(root, (3, "started", "X" + A[1:], "etl"))
    with pytest.raises(BadSetting, match="2 runs have ids that end so"):
        find_run(Root(root), "CZ9A")
    result = fsq("-r", root, "report", "--run", "last", "--since", "1h")
    assert (result.status, result.err) == (2, "fsq: --run is a time and its queues: it does not go with since\n")
