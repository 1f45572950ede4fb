"""Pipelines that cannot run say so before they start: what is wrong, where, what to do."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from workqueue.errors import BadPipeline
from workqueue.pipeline import Pipeline
from workqueue.pipeline.stages import parameters

if TYPE_CHECKING:
    from collections.abc import Callable


def pipeline(name: str = "etl", /, **stages: dict[str, Any]) -> Pipeline:
    """A pipeline of stages that do nothing."""
    made = Pipeline(name)
    for stage, wishes in stages.items():
        made.stage(**{"name": stage, **wishes})(lambda payload: payload)
    return made


def twice() -> Pipeline:
    made = pipeline(load={})
    made.stage(name="load")(lambda payload: payload)
    return made


def with_function(function: Callable[..., Any]) -> Callable[[], Pipeline]:
    def make() -> Pipeline:
        made = Pipeline("etl")
        made.stage(name="load")(function)
        return made

    return make


def with_program(*words: Any, **wishes: Any) -> Callable[[], Pipeline]:
    def make() -> Pipeline:
        made = pipeline(extract={"to": "convert"}, load={"source": True})
        made.program("convert", *words, **wishes)
        return made

    return make


BAD: dict[str, tuple[Callable[[], Pipeline], list[str]]] = {
    "no stages": (lambda: Pipeline("etl"), ["pipeline 'etl' has no stages: declare one"]),
    "a name that is no file's": (
        lambda: pipeline("../etl", load={}),
        ["pipeline '../etl': its name must be such as a queue may have"],
    ),
    "a name that is no queue's": (
        lambda: pipeline(Load={}),
        ["stage 'Load': queue 'Load': 1 to 64 characters of a-z, 0-9, _ and -", "give it another by name=…"],
    ),
    "one name twice": (twice, ["stage 'load': declared twice; here (", "), and before ("]),
    "no stage of that name": (
        lambda: pipeline(extract={"to": "laod"}, load={}),
        ["stage 'extract': to='laod' is no stage of this pipeline; did you mean 'load'?"],
    ),
    "a stage that nothing leads to": (
        lambda: pipeline(extract={"to": "load"}, load={}, audit={}),
        ["stage 'audit' is never reached: name it in another stage's to=, or say source=True"],
    ),
    "reached only by one that is not": (
        lambda: pipeline(load={}, a={"to": "b"}, b={}),
        ["stage 'a' is never reached", "stage 'b' is never reached"],
    ),
    "a cycle without an end": (
        lambda: pipeline(a={"to": ("b", "end")}, b={"to": "c"}, c={"to": "b"}, end={}),
        ["a cycle without an end: b → c → b; let one of these stages lead to one outside of it"],
    ),
    "a stage that leads to itself alone": (lambda: pipeline(a={"to": "a"}), ["a cycle without an end: a → a"]),
    "more workers than its limit": (
        lambda: pipeline(load={"workers": 3, "limit": 2}),
        ["stage 'load': workers=3 are more than its limit=2"],
    ),
    "a limit of nothing": (lambda: pipeline(load={"limit": 0}), ["stage 'load': limit 0: a whole number from 1"]),
    "workers that are no number": (lambda: pipeline(load={"workers": "two"}), ["stage 'load': workers 'two': a whole"]),
    "a wish that there is not": (
        lambda: pipeline(load={"worker": 2}),
        ["stage 'load': a stage takes no 'worker'; did you mean 'workers'?"],
    ),
    "a setting that is the queue's": (lambda: pipeline(load={"max_jobs": 9}), ["a stage takes no 'max_jobs'"]),
    "a setting that means nothing": (lambda: pipeline(load={"timeout": "5x"}), ["stage 'load': timeout '5x'"]),
    "a function without parameters": (
        with_function(lambda: None),
        ["stage 'load': it takes nothing; use (payload) or (payload, job)"],
    ),
    "a function with three": (with_function(lambda payload, job, x: None), ["stage 'load': it takes payload, job, x"]),
    "the two of them turned round": (with_function(lambda job, payload: None), ["stage 'load': it takes job, payload"]),
    "a parameter that nobody gives": (
        with_function(lambda payload, *, limit: None),
        ["stage 'load': nobody gives it 'limit'"],
    ),
    "no such program": (
        with_program("no-such-program {path}"),
        ["stage 'convert': no program 'no-such-program' on PATH, or not executable"],
    ),
    "lines of no such form": (
        with_program("cat", to="load", lines="xml"),
        ["stage 'convert': lines='xml': json or text"],
    ),
    "lines for nobody": (with_program("cat", lines="json"), ["lines='json' goes with to=, the next stages"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_told_and_where(case: str) -> None:
    """In one line for each problem."""
    make, words = BAD[case]
    with pytest.raises(BadPipeline) as told:
        make().check()
    text = str(told.value)
    assert all(word in text for word in words), text
    assert len(told.value.problems) == len([word for word in words if word[:2] not in {"),", "gi"}])
    if case != "no stages":
        assert f"({os.path.abspath(__file__)}, line " in text


def test_all_problems_are_told_at_once() -> None:
    made = pipeline(load={"worker": 2}, Upper={})
    with pytest.raises(BadPipeline) as told:
        made.plan()
    assert len(told.value.problems) == 2
    with pytest.raises(BadPipeline):
        made.stage_handlers()


def test_a_cycle_may_lead_back_where_it_leads_on_too() -> None:
    """Paging, and a second try by another stage, end by themselves."""
    pipeline(extract={"to": ("extract", "load")}, load={}).check()
    pipeline(a={"to": "b"}, b={"to": ("a", "end")}, end={}).check()


def test_stages_stand_in_the_order_of_the_flow() -> None:
    """However they were declared: those that finish begun work are served first, and a drain looks at them last."""
    made = pipeline(
        extract={"to": ("audit", "clean")}, load={}, audit={"to": "load"}, clean={"to": ("extract", "load")}
    )
    assert made.plan().queues == ("extract", "audit", "clean", "load")
    made = pipeline(a={"to": "end"}, end={}, b={"to": "end", "source": True})
    assert made.plan().queues == ("a", "b", "end")


def test_what_a_stage_says_reaches_the_supervisor_as_plain_values() -> None:
    made = pipeline(
        load={"workers": 2, "limit": 3, "timeout": timedelta(minutes=5), "backoff": "1s..1m", "max_attempts": None}
    )
    (stage,) = made.plan().stages
    assert (stage.workers, stage.limit, stage.settings) == (2, 3, {"timeout": 300.0, "backoff": "1s..1m"})


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda payload: payload, ("payload",)),
        (lambda row: row, ("payload",)),
        (lambda job: job, ("job",)),
        (lambda payload, job: job, ("payload", "job")),
        (lambda payload, current: current, ("payload", "job")),
        (lambda payload, job=None: job, ("payload", "job")),
        (lambda payload, dry_run=False: payload, ("payload",)),
    ],
)
def test_a_function_gets_what_its_parameters_say(function: Callable[..., Any], given: tuple[str, ...]) -> None:
    """A second parameter with a default of its own is the user's, and never the job by accident."""
    assert parameters(function) == given


def test_a_stage_stays_the_function_that_it_was() -> None:
    made = Pipeline("etl")

    @made.stage(to="load")
    def extract(payload: Any) -> Any:
        yield payload + 1

    @made.stage
    def load(payload: Any) -> None:
        """Load."""

    assert list(extract(1)) == [2]
    assert load.__doc__ == "Load."
    assert repr(made) == "<Pipeline etl: extract, load>"
