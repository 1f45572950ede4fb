"""States and verbs: the table says what the picture, the directories and the rest of the program say."""

from __future__ import annotations

import re

import pytest

from workqueue.jobs import states
from workqueue.jobs.states import ARROWS, ENDED, SEARCHED, SPACES, State, takes_from

N, L, C, H, D, F, X = (
    State.NEW,
    State.LATER,
    State.CUR,
    State.HELD,
    State.DONE,
    State.FAILED,
    State.CORRUPT,
)
GONE = None

TABLE: dict[str, tuple[set[State | None], set[State | None]]] = {
    "submit": ({GONE}, {N, L}),
    "claim": ({N}, {C}),
    "promote": ({L}, {N}),
    "finish": ({C}, {D, GONE}),
    "defer": ({C}, {L}),
    "fail": ({C}, {F}),
    "corrupt": ({C}, {X}),
    "release": ({C}, {N}),
    "recover": ({C}, {N, F, L}),
    "hold": ({N, L}, {H}),
    "unhold": ({H}, {N}),
    "retry": ({F, X, L}, {N}),
    "cancel": ({N, L, H, C}, {GONE}),
    "prune": ({D, F, X}, {GONE}),
}


@pytest.mark.parametrize("verb", TABLE)
def test_each_verb_takes_jobs_from_these_states_and_brings_them_to_those(verb: str) -> None:
    sources, targets = TABLE[verb]
    assert (set(ARROWS[verb].sources), set(ARROWS[verb].targets), ARROWS[verb].verb) == (sources, targets, verb)


def test_there_are_no_other_verbs() -> None:
    assert list(ARROWS) == [arrow.verb for arrow in ARROWS.values()]
    assert set(ARROWS) == set(TABLE)


def words_of_the_picture() -> set[str]:
    return set(re.findall(r"[a-z]+", states.__doc__ or ""))


@pytest.mark.parametrize("word", sorted({*TABLE, *State}))
def test_every_verb_and_every_state_stands_in_the_picture(word: str) -> None:
    assert word in words_of_the_picture()


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_reached_and_left(state: State) -> None:
    assert any(state in arrow.targets for arrow in ARROWS.values())
    assert any(state in arrow.sources for arrow in ARROWS.values())


def test_from_every_state_a_job_can_end_up_gone_and_nothing_comes_back_from_there_but_by_submit() -> None:
    steps = {(source, target) for arrow in ARROWS.values() for source in arrow.sources for target in arrow.targets}
    for state in State:
        reached, new = {state}, {state}
        while new:
            new = {target for source, target in steps if source in new and target is not None} - reached
            reached |= new
        assert any((source, GONE) in steps for source in reached)
    assert {arrow.verb for arrow in ARROWS.values() if GONE in arrow.sources} == {"submit"}


def test_what_has_ended_leaves_only_by_an_operators_verb() -> None:
    verbs = {arrow.verb for arrow in ARROWS.values() if ENDED & set(arrow.sources)}
    assert set(ENDED) == {D, F, X}
    assert verbs == {"retry", "prune"}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", TABLE)
def test_takes_from_agrees_with_the_table(verb: str, state: State) -> None:
    assert takes_from(verb, state) is (state in TABLE[verb][0])


def test_a_state_is_the_name_of_its_directory() -> None:
    assert [str(state) for state in State] == ["new", "later", "cur", "held", "done", "failed", "corrupt"]
    assert State("later") is State.LATER


def test_a_queue_has_tmp_and_a_space_for_each_state_and_new_is_made_last() -> None:
    assert sorted(SPACES) == sorted(["tmp", *State])
    assert (SPACES[0], SPACES[-1]) == ("tmp", "new")


def test_a_job_is_looked_for_in_every_state_and_where_it_moves_to_after_where_it_comes_from() -> None:
    assert sorted(SEARCHED) == sorted(State)
    assert SEARCHED[:4] == (H, L, N, C)
    assert set(SEARCHED[4:]) == set(ENDED)
