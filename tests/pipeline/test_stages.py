"""What becomes of a stage's yields: jobs of the next stages, if and only if the run commits. In this process."""

from __future__ import annotations

import json
import os
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from workqueue import Job, Producer, Retry
from workqueue.errors import BadInput, BadPayload
from workqueue.pipeline import Pipeline, To
from workqueue.pipeline.stage_program import LONGEST, LineReader
from workqueue.testing import drain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from workqueue.pipeline.stage_program import Lines


class Seen:
    """What came to the last stages."""

    def __init__(self) -> None:
        self.of: dict[str, list[Any]] = {}

    def end(self, pipeline: Pipeline, *stages: str, **wishes: Any) -> None:
        """Declare stages that note what they get."""
        for stage in stages:
            pipeline.stage(name=stage, **wishes)(lambda job: self.of.setdefault(job.queue, []).append(job.payload))


def run(root: str, pipeline: Pipeline, payload: Any, **settings: Any) -> dict[str, int]:
    """Submit to the first stage, and run all."""
    first = pipeline.plan().queues[0]
    producer = Producer(root, create=True)
    producer.submit(payload, queue=first, durable=False)
    return drain(root, pipeline, **{"max_attempts": 1, **settings})


def errors(root: str, queue: str = "extract") -> list[dict[str, Any]]:
    """Why the jobs in a queue's failed/ failed."""
    found = []
    for name in os.listdir(f"{root}/{queue}/failed"):
        with open(f"{root}/.fsq/jobs/{name.split('-')[1]}/errors.jsonl") as file:
            found += [json.loads(line) for line in file]
    return found


def plain(payload: Any) -> Any:
    return {"n": payload}


def generator(payload: Any) -> Iterator[Any]:
    yield from ({"n": n} for n in range(payload))


async def coroutine(payload: Any, job: Job) -> Any:
    return {"n": payload, "attempt": job.attempt}


async def async_generator(job: Job) -> AsyncIterator[Any]:
    for n in range(job.payload):
        yield {"n": n}


def nothing(payload: Any) -> None:
    """Nothing follows."""


def directed(payload: Any) -> Iterator[Any]:
    yield To("audit", payload, priority=2, label="x")
    yield payload + 1


@pytest.mark.parametrize(
    ("function", "load", "audit"),
    [
        (plain, [{"n": 3}], [{"n": 3}]),
        (generator, [{"n": 0}, {"n": 1}, {"n": 2}], [{"n": 0}, {"n": 1}, {"n": 2}]),
        (coroutine, [{"n": 3, "attempt": 1}], [{"n": 3, "attempt": 1}]),
        (async_generator, [{"n": 0}, {"n": 1}, {"n": 2}], [{"n": 0}, {"n": 1}, {"n": 2}]),
        (nothing, [], []),
        (directed, [4], [3, 4]),
        (lambda payload: To("audit", payload), [], [3]),
    ],
)
def test_what_a_stage_gives_goes_to_each_next_stage(
    root: str, function: Callable[..., Any], load: list[Any], audit: list[Any]
) -> None:
    """A yield to all of them; `To` to one."""
    pipeline, seen = Pipeline("etl"), Seen()
    pipeline.stage(name="extract", to=("load", "audit"))(function)
    seen.end(pipeline, "load", "audit")
    counts = run(root, pipeline, 3)
    assert (seen.of.get("load", []), seen.of.get("audit", [])) == (load, audit)
    assert counts["done"] == 1 + len(load) + len(audit)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_that_raises_after_its_yields_hands_over_nothing(root: str, *, is_async: bool) -> None:
    """The next attempt hands over all of it, once."""
    pipeline, seen = Pipeline("etl"), Seen()

    def extract(payload: Any, job: Job) -> Iterator[Any]:
        yield from range(payload)
        if job.attempt == 1:
            raise Retry(0.001)

    async def extract_async(payload: Any, job: Job) -> AsyncIterator[Any]:
        for item in extract(payload, job):
            yield item

    pipeline.stage(name="extract", to="load", max_attempts=2)(extract_async if is_async else extract)
    seen.end(pipeline, "load")
    counts = run(root, pipeline, 100, max_attempts=None)
    assert counts["retried"] == 1
    assert sorted(seen.of["load"]) == list(range(100))


def test_what_a_last_stage_returns_is_its_result(root: str) -> None:
    """Also what a generator returns."""
    pipeline = Pipeline("etl")

    @pipeline.stage(to="load", keep_done="1h")
    def extract(payload: Any) -> Any:
        yield payload
        return {"rows": 1}

    @pipeline.stage(keep_done="1h")
    def load(payload: Any) -> Any:
        return {"loaded": payload}

    ref = Producer(root, create=True).submit(7, queue="extract", durable=False)
    drain(root, pipeline)
    assert ref.result() == {"rows": 1}
    (name,) = os.listdir(f"{root}/load/done")
    assert Producer(root).ref(name.split("-")[1], "load").result() == {"loaded": 7}


def test_a_stage_may_go_on_with_itself(root: str) -> None:
    """Paging: a plain yield goes on to the others, `To` back to the stage."""
    pipeline, seen = Pipeline("etl"), Seen()

    @pipeline.stage(to=("extract", "load"))
    def extract(page: int) -> Iterator[Any]:
        yield f"rows of page {page}"
        if page < 3:
            yield To("extract", page + 1)

    seen.end(pipeline, "load")
    run(root, pipeline, 1)
    assert seen.of["load"] == [f"rows of page {n}" for n in (1, 2, 3)]


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "another stage": (
        lambda payload: To("other", 1),
        "stage 'extract' hands over to 'other', but its to= names 'load'",
    ),
    "another stage, by the job": (
        lambda payload, job: job.submit(1, queue="other") and None,
        "stage 'extract' hands over to 'other', but its to= names 'load'",
    ),
    "no queue": (lambda payload: To("laod", 1), "no queue 'laod'"),
    "a wish that there is not": (
        lambda payload: To("load", 1, prio=2),
        "submit takes no 'prio'; did you mean 'priority'?",
    ),
    "no JSON": (lambda payload: {1, 2}, "payload"),
    "a coroutine that nobody awaits": (lambda payload: coroutine(1, None), "make it `async def`"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_handed_over_fails_the_run(root: str, case: str) -> None:
    """And nothing is handed over."""
    function, message = REFUSED[case]
    pipeline, seen = Pipeline("etl"), Seen()
    pipeline.stage(name="extract", to="load")(function)
    seen.end(pipeline, "load", "other", source=True)
    assert run(root, pipeline, 1)["failed"] == 1
    assert seen.of == {}
    [error] = errors(root)
    assert message in error["message"], error


def test_a_stage_may_submit_to_queues_that_are_no_stage(root: str) -> None:
    pipeline = Pipeline("etl")

    @pipeline.stage
    def extract(payload: Any, job: Job) -> Iterator[Any]:
        yield To("default", payload)
        job.submit(payload, queue="default")

    run(root, pipeline, 1)
    assert len(os.listdir(f"{root}/default/new")) == 2


def test_a_yield_without_a_next_stage_is_told(root: str) -> None:
    pipeline = Pipeline("etl")
    pipeline.stage(name="extract")(generator)
    run(root, pipeline, 1)
    assert "no stage is next: name it by to=…, or yield To(…)" in errors(root)[0]["message"]


def test_its_clean_up_runs_when_the_hand_over_fails(root: str) -> None:
    """A generator's, before the run ends, and not when it is collected some day."""
    closed = []
    pipeline, seen = Pipeline("etl"), Seen()

    @pipeline.stage(to="load")
    def extract(payload: Any) -> Iterator[Any]:
        try:
            yield object()
        finally:
            closed.append(payload)

    seen.end(pipeline, "load")
    run(root, pipeline, 1)
    assert closed == [1]


def test_the_traceback_begins_in_the_stage(root: str) -> None:
    pipeline = Pipeline("etl")

    @pipeline.stage
    def extract(payload: Any) -> None:
        raise ValueError(payload)

    run(root, pipeline, 1)
    [error] = errors(root)
    assert "stage_calls" not in error["traceback"]
    assert "in extract" in error["traceback"]


def test_wishes_are_those_of_a_submit(root: str) -> None:
    """A `To` compares by what it holds, for the tests of stages."""
    pipeline, seen = Pipeline("etl"), Seen()
    data = f"{root}/../data.csv"
    with open(data, "w") as file:
        file.write("a,b\n")

    @pipeline.stage(to=("load", "file"))
    def extract(payload: Any) -> Iterator[Any]:
        yield To("load", "last", priority=9)
        yield To("load", "first", priority=0, label="x")
        yield To("file", file=data)

    assert next(extract(0)) == To("load", "last", priority=9) != To("load", "last")
    seen.end(pipeline, "load", "file")
    run(root, pipeline, 1)
    assert seen.of == {"load": ["first", "last"], "file": [b"a,b\n"]}


# -- programs --------------------------------------------------------------------------------------------------------


def with_program(command: str, lines: Lines | None = None) -> tuple[Pipeline, Seen]:
    pipeline, seen = Pipeline("etl"), Seen()
    pipeline.stage(name="extract", to="convert")(plain)
    pipeline.program("convert", command, to="load", lines=lines)
    seen.end(pipeline, "load")
    return pipeline, seen


def test_each_line_of_a_programs_output_is_a_job(root: str) -> None:
    pipeline, seen = with_program(f"sh -c 'cat; echo; echo; echo {root!r} >&2; printf \"[1, %s]\" $FSQ_ATTEMPT'")
    run(root, pipeline, 3)
    assert seen.of["load"] == [{"n": 3}, [1, 1]]
    pipeline, seen = with_program("printf 'a b\\r\\nüc\\n\\377\\n'", "text")
    run(root, pipeline, 3)
    assert seen.of["load"] == ["a b", "üc", b"\xff"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("sh -c 'echo 1; echo; echo \"{oops\"; exec sleep 600'", "line 3 of what 'convert' wrote is no JSON"),
        ("sh -c 'echo 1; exit 3'", "exit status 3"),
        ("sh -c 'echo 1; printf 12x'", "line 2 of what 'convert' wrote is no JSON"),
    ],
)
def test_a_program_that_fails_hands_over_nothing(root: str, command: str, message: str) -> None:
    """A line that cannot be read is told by its number, and ends the program."""
    pipeline, seen = with_program(command)
    assert run(root, pipeline, 3)["failed"] == 1
    assert seen.of == {}
    assert message in errors(root, "convert")[0]["message"]


def test_a_daemon_that_a_program_leaves_is_not_waited_for(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it has its standard output still open, and more than a pipe holds has been written."""
    pipeline, seen = with_program("sh -c '(sleep 600 & echo $! >daemon; printf \"%01000d\\n\" $(seq 200))'", "text")
    monkeypatch.chdir(os.path.dirname(root))
    try:
        run(root, pipeline, 3)
    finally:
        with open(f"{os.path.dirname(root)}/daemon") as file:
            os.kill(int(file.read()), 9)
    assert len(seen.of["load"]) == 200
    assert seen.of["load"][-1] == "0" * 997 + "200"


def test_a_last_program_writes_where_its_worker_does(root: str, capfd: pytest.CaptureFixture[str]) -> None:
    pipeline = Pipeline("etl")
    pipeline.program("extract", "cat")
    run(root, pipeline, {"n": 1})
    assert capfd.readouterr().out == '{"n":1}'


def test_lines_are_read_however_they_come() -> None:
    """In pieces of any size; the last without its end."""
    text = b'{"a": 1}\n\n[2]\r\n"three"'
    for size in range(1, len(text) + 1):
        found: list[Any] = []
        reader = LineReader("json", "of it", found.append)
        for start in range(0, len(text), size):
            reader.feed(text[start : start + size])
        reader.end()
        assert found == [{"a": 1}, [2], "three"], size


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    reader = LineReader("text", "of it", print)
    chunk = b"x" * (LONGEST // 4)
    with pytest.raises(BadPayload, match="line 1 of it is longer than 64 MiB"):
        deque(map(reader.feed, [chunk] * 5))


def test_only_a_job_of_its_stages_can_be_run() -> None:
    """A pipeline is a handler, and can be called as one."""
    with pytest.raises(BadInput, match="no stages"):
        Pipeline("etl").stage_handlers()
