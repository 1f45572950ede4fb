"""docs/states.md is true: each of its rows, made by hand, becomes what it says; and no verb leads to any other."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from doctor.wards import fix
from engine import state_page
from engine.conftest import empty
from engine.state_agents import AGENTS, AT_ONCE, DAYS, keyed, sweep
from engine.state_forms import NOTHING, form, written
from engine.state_hands import ID, OTHERS, PAYLOAD, make
from engine.state_root import SLOTS, make_root, root_form
from engine.state_verbs import CASES, StoppedFs
from engine.worlds import QUICK, SLOT, Q, World
from support.clocks import FakeClock
from workqueue.engine.root import Root, init
from workqueue.errors import NotARoot, UnknownQueue
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.exhaustive
ROWS, TWINS = state_page.rows(), state_page.twins()
BESIDE = ("key", "jobs/errors", "cancel", "stage/payload", "commit/items")
"""One of each kind of things that can lie beside a job's file."""
LIVING = {"new", "later", "cur", "held"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Where a user's file would be."""
    return str(tmp_path / "report.csv")


def made(world: World, row: str, file: str) -> World:
    """A world with this row, made by hand, and nothing else."""
    empty(world.path)
    if os.path.exists(file):
        os.unlink(file)
    fresh = World(world.path, FakeClock())
    make(fresh, row, file)
    assert form(world.path, file) == row, "the hand makes what the row says"
    return fresh


# -- each row --------------------------------------------------------------------------------------------------


class Became(NamedTuple):
    """What somebody made of a row."""

    forms: list[str]
    """What there was at each of his disk operations, and at the end."""
    key: str


def became(world: World, row: str, who: str, file: str) -> Became:
    """Make the row, and let somebody act on it."""

    def is_another(job_id: str) -> bool:
        return who == "keyed" and job_id not in {ID, *OTHERS}

    fresh = made(world, row, file)
    fs = StoppedFs(lambda: form(world.path, file, is_another))
    engine = fresh.open(fs)
    fs.begin()
    placed = AGENTS[who](engine)
    fs.stop()
    assert placed is None or placed.created or placed.id == ID
    key = "" if placed is None else "free" if placed.created else "taken"
    return Became([step.form for step in fs.steps], key)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_made_by_hand_becomes_what_the_page_says(world: World, file: str, row: str) -> None:
    then = {}
    for who in AGENTS:
        forms, key = became(world, row, who, file)
        if forms[-1] != row or key == "taken":
            then[who] = state_page.Next(forms[-1], key)
    assert then == ROWS[row].next


@pytest.mark.parametrize("row", ROWS)
def test_a_row_made_by_hand_is_seen_and_ends_as_the_page_says(world: World, file: str, row: str) -> None:
    fresh = made(world, row, file)
    assert seen(fresh) == ROWS[row].seen
    assert end_of(fresh) == ROWS[row].end
    nothing_waits(fresh, file)


def seen(world: World) -> str:
    """The one state in which a job is listed."""
    found = {state.value for state in State for _ in world.engine.scan(Q, state)}
    assert len(found) <= 1, "a job is in one state"
    return found.pop() if found else "–"


def end_of(world: World) -> str:
    """Recover, drain, and tell how it ended."""
    before = seen(world)
    count = sum(1 for state in State for _ in world.engine.scan(Q, state))
    sweep(world.engine)
    ran = world.drain()
    after = seen(world)
    if ran:
        assert list(ran.values()) == [PAYLOAD] * count
        return "runs"
    if after in {"failed", "corrupt"} and after != before:
        return after
    return "stays" if after != "–" else "cancelled" if before in LIVING else "no job"


def nothing_waits(world: World, file: str) -> None:
    """When all times are over only garbage is left, and what is to stay; and the key is free."""
    for who in ("sweep", "tmp_age", "keep"):
        AGENTS[who](world.engine)
    left = form(world.path, file).split()
    stuck = [part for part in left if re.match("tmp|new|later|cur|done|cancel|stage|commit", part)]
    assert not stuck
    assert keyed(world.engine).created or seen(world) == "held"


@pytest.mark.parametrize("row", [row for row in ROWS if AT_ONCE.keys() & ROWS[row].next.keys() and "~" not in row])
def test_nobody_is_there_before_his_time(world: World, file: str, row: str) -> None:
    fresh = made(world, row, file)
    for act in AT_ONCE.values():
        act(fresh.engine)
    assert form(world.path, file) == row


@pytest.mark.parametrize("row", [row for row in ROWS if re.search("cur-[1-9]|cur:", row)])
def test_the_claim_of_a_living_worker_is_left_alone(world: World, file: str, row: str) -> None:
    """Also when the claim of a dead one, beside it, is recovered."""
    fresh = made(world, row, file)
    fresh.plant(f"5-{OTHERS[0]}-1@{SLOT + 1}.dead=", state="cur")
    with open(f"{world.path}/.fsq/workers/{SLOT}", "rb") as slot:
        fcntl.flock(slot, fcntl.LOCK_EX)
        sweep(fresh.engine)
    assert form(world.path, file, lambda job_id: job_id in OTHERS) == row
    assert fresh.states(OTHERS[0]) == [State.NEW]


@pytest.mark.parametrize("row", [row for row in ROWS if re.fullmatch(r"(new|later|cur|held|failed)-\d", row)])
def test_what_lies_beside_a_job_changes_nothing_but_its_cancel_in_what_becomes_of_it(
    world: World, file: str, row: str
) -> None:
    for count in range(1, len(BESIDE) + 1):
        for things in itertools.combinations(BESIDE, count):
            fresh = made(world, written({row, *things}), file)
            is_cancelled = "cancel" in things and seen(fresh) in LIVING
            assert end_of(fresh) == ("cancelled" if is_cancelled else ROWS[row].end), things
            nothing_waits(fresh, file)


@pytest.mark.parametrize("row", [row for row in ROWS if ROWS[row].end == "no job"])
def test_the_doctor_removes_what_is_left_where_no_job_is(world: World, file: str, row: str) -> None:
    fresh = made(world, row, file)
    fresh.clock.advance(DAYS)
    fix(fresh)
    left = form(world.path, file)
    assert left in {NOTHING, "file"} or (left.startswith("file") and left.endswith("jobs/options"))


@pytest.mark.parametrize("row", TWINS)
def test_of_two_names_one_goes_before_the_job_is_run(world: World, file: str, row: str) -> None:
    for who, then in TWINS[row].items():
        assert became(world, row, who, file).forms[-1] == then.to
    fresh = made(world, row, file)
    assert set(fresh.drain().values()) == (set() if re.search("failed|done|held", row) else {PAYLOAD})
    assert len(form(world.path, file).split()) == 1
    seen(fresh)


# -- all rows, and no others -----------------------------------------------------------------------------------


def test_the_verbs_of_the_page_are_those_of_the_tests() -> None:
    assert state_page.verbs().keys() == CASES.keys()


@pytest.mark.parametrize("verb", CASES)
def test_a_verb_leads_from_row_to_row_as_the_page_shows(world: World, file: str, verb: str) -> None:
    with open(file, "xb") as own:
        own.write(PAYLOAD)
    steps = CASES[verb].do(world, file).steps
    assert state_page.shown(steps) == state_page.shown(state_page.verbs()[verb])
    assert {step.form for step in steps} <= ROWS.keys()


def test_every_row_occurs_and_whoever_clears_up_leads_from_row_to_row(world: World, file: str) -> None:
    """Stopped anywhere; but for the steps of `run`, which are those of the verbs, on other attempts."""
    occur = {step.form for steps in state_page.verbs().values() for step in steps}
    for row in ROWS:
        for who, then in ROWS[row].next.items():
            forms = {then.to} if who == "run" else {*became(world, row, who, file).forms}
            assert forms <= ROWS.keys(), f"{who} on {row!r}"
            occur |= forms
    assert occur == ROWS.keys()


@pytest.mark.parametrize("verb", CASES)
def test_a_refused_operation_leads_over_rows_or_sums_of_them(world: World, file: str, verb: str) -> None:
    places = {written({*row.split()} - beside(row)) for row in ROWS}
    things = set().union(*map(beside, ROWS))
    for n in itertools.count(1):
        empty(world.path)
        with open(file, "wb") as own:
            own.write(PAYLOAD)
        fs = CASES[verb].do(World(world.path, FakeClock()), file, refused=n)
        for step in fs.steps:
            assert written({*step.form.split()} - beside(step.form)) in places
            assert beside(step.form) <= things
        if fs.count < n:
            return


def beside(row: str) -> set[str]:
    """What lies beside the job's file."""
    return {part for part in row.split() if part.startswith(("key", "jobs", "cancel", "stage", "commit"))}


# -- the words -------------------------------------------------------------------------------------------------


def test_every_part_of_a_row_is_explained_and_no_other() -> None:
    used = {re.sub(r"-(0(?=\d))?\d+", r"-\1N", part) for row in ROWS for part in row.split()}
    assert sorted(state_page.words("part")) == sorted(used)


def test_those_who_act_are_explained() -> None:
    assert state_page.words("word") == [*AGENTS]


# -- the root --------------------------------------------------------------------------------------------------

ROOTS = state_page.roots()


@pytest.mark.parametrize("row", ROOTS)
def test_a_root_made_by_hand_is_and_becomes_what_the_page_says(tmp_path: Path, row: str) -> None:
    path = str(tmp_path / "root")
    make_root(path, row)
    assert root_form(path) == row
    what, after = ROOTS[row]
    assert kind_of_root(path) == what
    assert root_form(path) == row, "who only looks makes nothing"
    queues = ("default", "other") if "other" in row else ("default",)
    assert init(path, queues, slots=SLOTS, fs=QUICK) == (what == "no root")
    assert root_form(path) == after
    world = World(path, FakeClock())
    job_id = world.put(PAYLOAD)
    assert world.drain() == {job_id: PAYLOAD}


def kind_of_root(path: str) -> str:
    """What a producer is told."""
    try:
        root = Root(path, fs=QUICK)
    except NotARoot:
        return "no root"
    root.space("default", "new")
    try:
        root.space("other", "new")
    except UnknownQueue:
        return "a root, no queue `other`" if os.path.isdir(f"{path}/other") else "a root"
    return "a root, with queue `other`"


@pytest.mark.parametrize("what", state_page.verbs("making"))
def test_init_leads_from_row_to_row_as_the_page_shows(tmp_path: Path, what: str) -> None:
    path = str(tmp_path / "root")
    if what != "init":
        make_root(path, "root")
    fs = StoppedFs(lambda: root_form(path))
    fs.begin()
    if what == "init":
        init(path, slots=SLOTS, fs=fs)
    else:
        Root(path, fs=fs).make_queue("other")
    fs.stop()
    assert state_page.shown(fs.steps) == state_page.shown(state_page.verbs("making")[what])
