"""The operator's verbs: each takes a job from where it may, by one rename or unlink, durably."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from engine.disks import RecordingFs
from engine.worlds import Q, World, plain_name
from support.disks import UnsyncedFs
from workqueue.engine import operate
from workqueue.errors import StoreError, WrongState, of_path
from workqueue.jobs import names
from workqueue.jobs.states import ARROWS, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.protocol import Located
    from workqueue.engine.root import Root

VERBS: dict[str, Callable[[Root, Located], object]] = {
    "retry": operate.retry,
    "cancel": operate.cancel,
    "hold": operate.hold,
    "unhold": operate.unhold,
    "prune": operate.remove,
}


def place(world: World, state: State, **fields: Any) -> str:
    """Bring a new job into a state."""
    job_id = world.put(due=4764000000000 if state is State.LATER else None, keep=3600.0, **fields)
    match state:
        case State.HELD:
            operate.hold(world.root, world.find(job_id))
        case State.CUR | State.DONE | State.FAILED | State.CORRUPT:
            claim = world.take(f"5-{job_id}-0")
            if state is State.DONE:
                world.engine.finish(claim)
            elif state is State.FAILED:
                world.engine.fail(claim)
            elif state is State.CORRUPT:
                world.engine.corrupt(claim, "why")
    assert world.states(job_id) == [state]
    return job_id


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_a_job_from_the_states_of_its_arrow_and_leaves_it_alone_elsewhere(
    world: World, verb: str, state: State
) -> None:
    job_id = place(world, state)
    found = world.find(job_id)
    arrow = ARROWS[verb]
    if state not in arrow.sources:
        with pytest.raises(WrongState, match=f"{state}; {verb} takes jobs from"):
            VERBS[verb](world.root, found)
        assert world.states(job_id) == [state]
        return
    assert VERBS[verb](world.root, found)
    if verb == "cancel" and state is State.CUR:
        assert world.states(job_id) == [State.CUR]
        return
    assert world.states(job_id) == [target for target in arrow.targets if target]


@pytest.mark.parametrize("verb", VERBS)
def test_a_lost_race_is_false_or_none_and_changes_nothing(world: World, verb: str) -> None:
    source = next(state for state in ARROWS[verb].sources if state)
    found = world.find(place(world, source))
    os.rename(found.path, world.at("tmp", "away"))
    assert not VERBS[verb](world.root, found)
    assert world.jobs() == {}


STORIES = {
    ("retry", State.FAILED): ["rename failed new", "sync_dir new", "sync_dir failed"],
    ("retry", State.LATER): ["rename later new", "sync_dir new", "sync_dir later"],
    ("hold", State.NEW): ["rename new held", "sync_dir held", "sync_dir new"],
    ("hold", State.LATER): ["rename later held", "sync_dir held", "sync_dir later"],
    ("unhold", State.HELD): ["rename held new", "sync_dir new", "sync_dir held"],
    ("cancel", State.NEW): ["unlink new", "sync_dir new"],
    ("cancel", State.LATER): ["unlink later", "sync_dir later"],
    ("cancel", State.CUR): ["create cancel", "close", "sync_dir cancel"],
    ("prune", State.FAILED): ["unlink failed", "sync_dir failed"],
}


@pytest.mark.parametrize(("verb", "state"), STORIES)
def test_a_verb_is_one_operation_and_a_sync_of_each_directory_that_it_changed(
    world: World, verb: str, state: State
) -> None:
    found = world.find(place(world, state))
    fs = RecordingFs()
    root = world.open(fs).root
    fs.done.clear()
    VERBS[verb](root, found)
    assert fs.story == STORIES[verb, state]


def test_retry_of_a_failed_job_starts_the_attempts_anew(world: World) -> None:
    job_id = place(world, State.FAILED)
    operate.retry(world.root, world.find(job_id))
    assert world.ls("new") == [f"5-{job_id}-00"]
    assert world.take().name.attempt == 1


def test_retry_of_a_delayed_job_runs_it_now_with_the_attempts_it_has(world: World) -> None:
    job_id = world.put()
    world.engine.defer(world.take(), 3600)
    operate.retry(world.root, world.find(job_id))
    assert world.ls("new") == [f"5-{job_id}-1"]


def test_a_held_job_keeps_its_due_time_and_loses_it_when_it_is_let_go(world: World) -> None:
    job_id = place(world, State.LATER)
    operate.hold(world.root, world.find(job_id))
    assert world.ls("held") == [f"4764000000000-5-{job_id}-0"]
    operate.unhold(world.root, world.find(job_id))
    assert world.ls("new") == [f"5-{job_id}-0"]


@pytest.mark.parametrize("verb", ["hold", "cancel"])
def test_a_job_inside_a_batch_is_taken_by_itself(world: World, verb: str) -> None:
    first, second = world.put_many([b"1", b"2"])
    VERBS[verb](world.root, world.find(first))
    assert world.states(second) == [State.NEW]
    assert world.states(first) == ([State.HELD] if verb == "hold" else [])


def test_two_bare_files_of_one_name_that_are_held_are_both_kept(world: World) -> None:
    for content in (b"first", b"second"):
        world.plant("same.csv", content)
        (found,) = world.engine.scan(Q, State.NEW)
        assert operate.hold(world.root, found)
    assert len(world.ls("held")) == 2
    for found in list(world.engine.scan(Q, State.HELD)):
        assert operate.unhold(world.root, found)
    assert sorted(world.drain().values()) == [b"first", b"second"]


@pytest.mark.parametrize("state", ["held", "failed"])
def test_bare_files_that_somebody_put_aside_by_hand_do_not_replace_each_other_on_their_way_back(
    world: World, state: str
) -> None:
    verb = operate.unhold if state == "held" else operate.retry
    for content in (b"first", b"second"):
        world.plant("same.csv", content, state)
        (found,) = world.engine.scan(Q, State(state))
        assert verb(world.root, found)
    assert sorted(world.drain().values()) == [b"first", b"second"]


def test_a_bare_file_of_the_longest_name_can_be_held(world: World) -> None:
    world.plant("ä" * 127 + "x", b"long")
    (found,) = world.engine.scan(Q, State.NEW)
    assert operate.hold(world.root, found)
    assert len(world.ls("held")) == 1


def test_cancel_frees_key_and_records(world: World) -> None:
    job_id = world.put(key="k")
    world.engine.add_error(world.take(), {"message": "x"})
    world.sweep()
    assert world.dot("jobs") == [job_id]
    assert world.engine.cancel(world.find(job_id)) is State.NEW
    assert world.dot("jobs") == []
    assert world.put(key="k") != job_id


def test_a_quarantined_directory_is_removed_with_all_that_is_in_it_and_nothing_it_links_to(
    world: World, tmp_path: os.PathLike[str]
) -> None:
    outside = os.path.join(tmp_path, "outside")
    os.makedirs(f"{outside}/deep")
    os.makedirs(world.at("new", "dir/deep"))
    os.symlink(outside, world.at("new", "dir/link"))
    world.take_corrupt("dir")
    (found,) = world.engine.scan(Q, State.CORRUPT)
    assert operate.remove(world.root, found)
    assert world.ls("corrupt") == []
    assert os.path.isdir(f"{outside}/deep")


def test_a_quarantined_link_is_removed_and_not_what_it_leads_to(world: World, tmp_path: os.PathLike[str]) -> None:
    os.symlink(tmp_path, world.at("new", "link"))
    world.take_corrupt("link")
    (found,) = world.engine.scan(Q, State.CORRUPT)
    assert operate.remove(world.root, found)
    assert os.path.isdir(tmp_path)


def test_a_damaged_job_that_is_retried_goes_back_to_corrupt_and_can_be_retried_again(world: World) -> None:
    world.plant(plain_name(), b"torn")
    world.take_corrupt(plain_name())
    for _ in range(3):
        (found,) = world.engine.scan(Q, State.CORRUPT)
        assert operate.retry(world.root, found)
        world.take_corrupt(world.ls("new")[0])
    assert len(world.ls("corrupt")) == 1


def test_prune_removes_what_has_been_in_a_state_long_enough_and_nothing_younger(world: World) -> None:
    first = place(world, State.FAILED)
    assert list(operate.prune(world.root, Q, State.FAILED, 60)) == []
    world.clock.advance(120)
    assert [found.name.id for found in operate.prune(world.root, Q, State.FAILED, 60)] == [first]
    assert world.jobs() == {}


def test_a_disk_that_refuses_is_told_with_the_jobs_path_and_the_job_stays(world: World) -> None:
    class BrokenFs(UnsyncedFs):
        def rename(self, source: str, target: str) -> None:
            raise of_path(errno.EROFS, source)

        def unlink(self, path: str) -> None:
            raise of_path(errno.EROFS, path)

    root = world.open(BrokenFs()).root
    for verb in ("hold", "cancel"):
        job_id = place(world, State.NEW)
        with pytest.raises(StoreError, match=job_id) as caught:
            VERBS[verb](root, world.find(job_id))
        assert caught.value.errno == errno.EROFS
        assert world.states(job_id) == [State.NEW]


def test_what_cannot_be_read_has_no_options_of_its_own(world: World) -> None:
    world.plant(plain_name(), b"torn")
    (found,) = world.engine.scan(Q, State.NEW)
    options, inode = operate.options_of(world.root, found)
    assert (options.key, inode) == (None, 0)
    assert names.parse(plain_name()) == found.name
