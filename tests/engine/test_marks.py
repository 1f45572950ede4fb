"""Cancel marks: orders about running jobs, which survive whoever gave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.disks import RecordingFs
from workqueue.engine import marks
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from engine.worlds import World


def test_a_mark_is_made_once_and_synced_every_time(world: World) -> None:
    job_id = world.put()
    world.take()
    fs = RecordingFs()
    root = world.open(fs).root
    for _ in range(2):
        fs.done.clear()
        marks.mark(root, job_id)
        assert fs.story[-1] == "sync_dir cancel"
    assert world.dot("cancel") == [job_id]
    assert marks.is_marked(world.root, job_id)


def test_cancel_of_a_running_job_orders_and_does_not_touch_it(world: World) -> None:
    job_id = world.put()
    world.take()
    assert world.engine.cancel(world.find(job_id)) is State.CUR
    assert world.jobs() == {job_id: State.CUR}
    assert marks.marked(world.root) == [job_id]


def test_only_ids_are_orders(world: World) -> None:
    job_id = world.put()
    marks.mark(world.root, job_id)
    for name in ("README", "..x", job_id.lower()):
        with open(world.root.dot("cancel", name), "w"):
            pass
    assert marks.marked(world.root) == [job_id]


def test_a_mark_is_cleared_also_when_it_is_gone(world: World) -> None:
    job_id = world.put()
    marks.mark(world.root, job_id)
    marks.clear(world.root, job_id)
    marks.clear(world.root, job_id)
    assert not marks.is_marked(world.root, job_id)
    assert world.dot("cancel") == []
