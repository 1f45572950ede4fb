"""The report: its totals are those of a plain computation over the same events."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journals import T, job_id, write
from support.disks import UnsyncedFs
from workqueue import Job, Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.pipeline.report import Selection, make_report
from workqueue.testing import drain


def report(root: str, **selection: Any) -> dict[str, Any]:
    found = make_report(DirectoryEngine(Root(root)), Selection(**selection)).as_dict()
    assert json.loads(json.dumps(found)) == found
    return found


def queue(root: str, name: str = "default", **selection: Any) -> dict[str, Any]:
    [found] = [each for each in report(root, **selection)["queues"] if each["queue"] == name]
    return dict(found)


def run(event: str, n: int = 0, took: float = 1.0, **fields: Any) -> dict[str, Any]:
    """The end of a run, of a job that waited 2 s."""
    t = T + n * 1000
    whole = {"t": t, "event": event, "queue": "default", "id": job_id(t - int(took * 1000) - 2000, n), "took": took}
    return {**whole, "attempt": 1, "slot": 0, **fields}


def test_a_night_with_a_known_answer(root: str) -> None:
    write(root, [
        {"t": T, "event": "started", "workers": "2 workers", "queues": "default", "root": root},
        run("finished", 1, 1.0, counts={"read": 10, "written": 9}, rejects=1),
        run("finished", 2, 3.0, counts={"read": 5, "bytes": 0.5}),
        run("retried", 3, 0.5, cause="ValueError", error="ValueError: 3", counts={"read": 1}),
        run("failed", 4, 0.5, cause="ValueError", error="ValueError: 4", attempt=2),
        run("snoozed", 5, 0.1, id=job_id(T - 100_000)),
        run("cancelled", 6, 0.2),
        run("corrupted", 7, 0.1, reason="no JSON"),
        {"t": T + 8000, "event": "cancelled by hand", "queue": "default", "id": job_id(T), "by": "me"},
        {"t": T + 9000, "event": "worker died", "worker": 1, "how": "SIGKILL"},
        {"t": T + 9000, "event": "recovered", "queue": "default", "id": job_id(T), "attempt": 2, "cause": "death",
         "error": "its worker died (SIGKILL)", "state": "new"},
        {"t": T + 9500, "event": "recovered", "queue": "default", "id": job_id(T, 1), "attempt": 5, "cause": "timeout",
         "error": "timed out", "state": "failed"},
        {"t": T + 9600, "event": "released", "queue": "default", "id": job_id(T), "attempt": 3},
        {"t": T + 9700, "event": "dropped", "count": 7},
        {"t": T + 9800, "event": "levitated", "queue": "default"},
    ])  # fmt: skip
    whole = report(root)
    assert (whole["runs"], whole["workers_died"], whole["dropped"]) == (1, 1, 7)
    found = queue(root)
    assert {name: found[name] for name in ("jobs", "done", "failed", "cancelled", "corrupt", "attempts", "retries")} == {
        "jobs": 7, "done": 2, "failed": 2, "cancelled": 2, "corrupt": 1, "attempts": 8, "retries": 1,
    }  # fmt: skip
    assert {name: found[name] for name in ("snoozed", "released", "deaths", "rejects")} == {
        "snoozed": 1, "released": 1, "deaths": 1, "rejects": 1,
    }  # fmt: skip
    assert found["counts"] == {"read": 16, "written": 9, "bytes": 0.5}
    assert found["causes"] == {"ValueError": 2, "death": 1, "timeout": 1}
    assert found["run"]["max"] == 3.0
    assert found["waiting"]["max"] == 2.0
    assert found["done_per_second"] == pytest.approx(2 / 8.8, rel=1e-5)
    assert [run["took"] for run in found["slowest"]][:2] == [3.0, 1.0]
    assert [death["error"] for death in found["last_deaths"]] == ["timed out", "its worker died (SIGKILL)"]
    assert sum(row.get("done", 0) for row in found["over_time"]) == 2


def test_a_first_attempt_that_is_not_the_first_start_says_nothing_of_the_waiting(root: str) -> None:
    write(root, [run("finished", 1, anew=True), run("finished", 2, attempt=3), run("finished", 3, id="no id")])
    assert queue(root)["waiting"]["p50"] is None


def test_a_clock_that_was_set_back_makes_no_waiting_below_nothing(root: str) -> None:
    write(root, [{**run("finished", 1), "id": job_id(T + 10**7)}])
    assert queue(root)["waiting"]["max"] == 0


def test_a_time_and_queues_can_be_chosen(root: str) -> None:
    init(root, ("load",), fs=UnsyncedFs())
    write(root, [run("finished", 1), run("finished", 2, queue="load"), run("finished", 3)])
    assert [each["queue"] for each in report(root)["queues"]] == ["default", "load"]
    assert [each["queue"] for each in report(root, queues=frozenset({"load"}))["queues"]] == ["load"]
    assert queue(root, since=T + 2000, until=T + 4000)["done"] == 1
    assert report(root, since=T + 10**6)["queues"] == []


EVENT = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["finished", "retried", "failed", "snoozed", "cancelled", "corrupted"]),
        "queue": st.sampled_from(["a", "b"]),
        "ms": st.integers(0, 3 * 86_400_000),
        "took": st.floats(0, 1e5, allow_nan=False),
        "cause": st.sampled_from(["ValueError", "OSError"]),
        "counts": st.dictionaries(st.sampled_from(["read", "written"]), st.integers(0, 10**9)),
        "rejects": st.integers(0, 5),
    }
)


@given(st.lists(EVENT, max_size=60))
def test_totals_are_those_of_a_plain_computation(tmp_path_factory: pytest.TempPathFactory, events: list[Any]) -> None:
    root = str(tmp_path_factory.mktemp("report"))
    init(root, ("a", "b"), slots=1, fs=UnsyncedFs())
    write(root, [{"t": T + e["ms"], "id": job_id(T), "attempt": 1, **e} for e in events])
    for name in {event["queue"] for event in events}:
        own = [event for event in events if event["queue"] == name]
        kinds = Counter(event["event"] for event in own)
        found = queue(root, name)
        assert found["done"] == kinds["finished"]
        assert found["failed"] == kinds["failed"]
        assert found["attempts"] == len(own) - kinds["snoozed"]
        assert found["retries"] == kinds["retried"]
        assert found["rejects"] == sum(event["rejects"] for event in own)
        sums: Counter[str] = Counter()
        for event in own:
            sums.update(event["counts"])
        assert found["counts"] == {key: sums[key] for event in own for key in event["counts"]}
        assert found["causes"] == Counter(e["cause"] for e in own if e["event"] in {"retried", "failed"})
        assert found["run"]["max"] == round(max(event["took"] for event in own), 6)
        assert [each["took"] for each in found["slowest"]] == sorted((e["took"] for e in own), reverse=True)[:10]
        assert sum(row.get("done", 0) for row in found["over_time"]) == kinds["finished"]


def fails(job: Job) -> None:
    if job.payload == "other":
        raise RuntimeError("quite different")
    raise ValueError(f"bad row {job.payload}")


def test_what_lies_in_failed_is_told_by_reason_whenever_it_failed(root: str) -> None:
    for payload in (1, 22, "other", 333):
        Producer(root).submit(payload)
    drain(root, fails, max_attempts=1)
    groups = queue(root)["failed_now"]
    assert [(group["reason"][:16], group["count"]) for group in groups] == [
        ("ValueError: bad ", 3),
        ("RuntimeError: qu", 1),
    ]
    assert all(len(group["id"]) == 26 for group in groups)
    assert report(root, queues=frozenset())["queues"] == []
