"""fsq and arrays: submitted from lines, listed and shown with how far each element has come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from workqueue import Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root
from workqueue.testing import drain

if TYPE_CHECKING:
    from support.fsq import Fsq
    from workqueue import Job


def payloads(fsq: Fsq) -> list[Any]:
    seen: list[Any] = []
    drain(fsq.root, lambda job: seen.append(job.payload))
    return seen


def test_lines_become_the_elements_of_arrays(fsq: Fsq) -> None:
    told = fsq("-r", fsq.root, "submit", "--lines", "--array", "2", "--label", "tiny", stdin=b"a\nb\nc\n")
    assert (told.status, told.err) == (0, "")
    ids = told.out.split()
    assert len(ids) == 2
    listed = fsq("-r", fsq.root, "ls").out
    assert listed.count("tiny") == 2
    assert "0/2 elements" in listed
    assert "0/1 elements" in listed
    assert payloads(fsq) == ["a", "b", "c"]
    told = fsq("-r", fsq.root, "submit", "--json-lines", "--array", "3", "--json", stdin=b'{"n": 1}\n2\n')
    assert json.loads(told.out)["queue"] == "default"
    assert payloads(fsq) == [{"n": 1}, 2]


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [
        (["--json-lines", "--array", "2"], b"1\n2\n3\n{\n", "line 4 of stdin: no JSON"),
        (["1", "--array", "2"], b"", "--array goes with --lines or --json-lines"),
        (["--each", "*", "--array", "2"], b"", "does not go with array"),
        (["--lines", "--array", "2", "--key", "k"], b"", "does not go with key"),
        (["--lines", "--array", "0"], b"", "--array"),
    ],
)
def test_what_makes_no_array_is_told_in_one_line(fsq: Fsq, words: list[str], stdin: bytes, message: str) -> None:
    told = fsq("-r", fsq.root, "submit", *words, stdin=stdin)
    assert told.status == 2
    assert message in told.err
    assert "Traceback" not in told.err


def test_show_and_ls_tell_how_far_each_element_has_come(fsq: Fsq) -> None:
    [job_id] = Producer(fsq.root).submit_array(["zero", "one", "two", "three"])
    engine = DirectoryEngine(Root(fsq.root))
    claim = engine.take("default", f"5-{job_id}-0", 1)
    assert isinstance(claim, Claim)
    marks = engine.marks(claim)
    marks.set(0, b"1")
    marks.set(1, b"4")
    marks.close(ended=False)
    [row] = fsq("-r", fsq.root, "ls", "cur").out.splitlines()
    assert row.endswith("1/4 elements, 1 split off")
    shown = json.loads(fsq("-r", fsq.root, "show", job_id, "--json").out)
    assert shown["array"] == {"elements": 4, "ended": 1, "left": 2, "split": 1}
    assert shown["payload"] == '"zero"\n"one"\n"two"\n"three"\n'
    one = json.loads(fsq("-r", fsq.root, "show", f"{job_id}.0", "--json").out)
    assert (one["id"], one["element"], one["payload"]) == (f"{job_id}.0", "ended", "zero")
    assert "becomes a job of its own" in fsq("-r", fsq.root, "show", f"{job_id}.1").out
    assert "to do" in fsq("-r", fsq.root, "show", f"{job_id[-8:]}.3").out
    engine.release(claim)
    assert "1/4 elements" in fsq("-r", fsq.root, "ls").out


def test_what_is_no_element_is_told_in_one_line(fsq: Fsq) -> None:
    producer = Producer(fsq.root)
    [job_id] = producer.submit_array(range(3))
    plain = producer.submit(1).id
    for words, message in {
        ("show", f"{job_id}.3"): "has 3 elements, from 0 to 2",
        ("show", f"{plain}.0"): "is no array",
        ("cancel", f"{job_id}.1"): f"goes with its array, {job_id}",
        ("wait", f"{job_id}.1"): f"goes with its array, {job_id}",
    }.items():
        told = fsq("-r", fsq.root, *words)
        assert told.status == 2
        assert message in told.err
    assert fsq("-r", fsq.root, "cancel", job_id, plain).status == 0
    assert fsq.ls() == {}


def test_show_tells_where_a_job_comes_from_and_why_it_was_split_off(fsq: Fsq) -> None:
    [job_id] = Producer(fsq.root).submit_array(range(2), max_attempts=1)

    def handle(job: Job) -> None:
        if job.payload == 1:
            raise ValueError("one is bad")

    drain(fsq.root, handle)
    [failed] = [json.loads(line) for line in fsq("-r", fsq.root, "ls", "failed", "--json").out.splitlines()]
    shown = fsq("-r", fsq.root, "show", failed["id"]).out
    assert f'"from":"{job_id}.1"' in shown
    assert "ValueError: one is bad" in shown
    assert "in handle" in shown
    assert fsq("-r", fsq.root, "retry", failed["id"]).status == 0
    assert payloads(fsq) == [1]
