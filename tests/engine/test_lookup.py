"""Finding jobs: nowhere means nowhere, also while everything moves."""

from __future__ import annotations

import os

from engine.worlds import Q, World, plain_name
from support.disks import UnsyncedFs
from workqueue.engine import lookup, operate
from workqueue.jobs import names
from workqueue.jobs.states import State


def test_a_job_is_found_in_every_state(world: World) -> None:
    job_id = world.put(keep=60)
    assert world.find(job_id).state is State.NEW
    operate.hold(world.root, world.find(job_id))
    assert world.find(job_id).state is State.HELD
    operate.unhold(world.root, world.find(job_id))
    claim = world.take()
    found = world.find(job_id)
    assert (found.state, found.path, found.name) == (State.CUR, claim.path, claim.name)
    world.engine.defer(claim, 5)
    assert world.find(job_id).state is State.LATER
    assert world.find(job_id).name.due == world.clock.now_ms() + 5000
    world.engine.retry(world.find(job_id))
    world.engine.fail(world.take())
    assert world.find(job_id).state is State.FAILED
    world.engine.retry(world.find(job_id))
    world.engine.corrupt(world.take(), "x")
    assert world.find(job_id).state is State.CORRUPT
    world.engine.retry(world.find(job_id))
    world.engine.finish(world.take())
    assert world.find(job_id).state is State.DONE


def test_jobs_in_batches_are_found_with_the_due_time_of_their_batch(world: World) -> None:
    ready = world.put_many([b"1", b"2"])
    (waiting,) = world.put_many([b"3"], due=4764000000000)
    for job_id in ready:
        assert world.find(job_id).state is State.NEW
    found = world.find(waiting)
    assert (found.state, found.name.due) == (State.LATER, 4764000000000)
    assert os.path.isfile(found.path)


def test_the_id_of_a_batch_is_no_job(world: World) -> None:
    world.put_many([b"1"])
    (batch,) = world.ls("new")
    assert world.engine.find(batch[2:28]) is None


def test_a_job_of_another_queue_is_found(world: World) -> None:
    world.engine.make_queue("other")
    job_id = world.put(queue="other")
    assert world.find(job_id).queue == "other"


def test_an_id_in_a_label_is_no_job(world: World) -> None:
    job_id = plain_name()[2:28]
    world.put(label=job_id)
    world.plant(f"bare-{job_id}")
    assert world.engine.find(job_id) is None


def test_a_job_that_moves_behind_the_looks_back_is_found_all_the_same(world: World) -> None:
    job_id = world.put()

    class MovingFs(UnsyncedFs):
        moves = 0

        def list(self, path: str) -> list[str]:
            listed = super().list(path)
            # Seen nowhere: it goes where the search has been, as often as a search may be fooled.
            if path.endswith("/new") and self.moves == 0:
                self.moves += 1
                world.engine.release(claim)
            return listed

    claim = world.take()
    assert (found := world.open(MovingFs()).find(job_id)) is not None
    assert found.state is State.NEW


def test_a_job_that_goes_its_way_while_it_is_looked_for_is_met_in_the_first_pass(world: World) -> None:
    """The search goes the way of the jobs, so the commonest moves cannot pass it by."""
    job_id = world.put()

    class ClaimingFs(UnsyncedFs):
        passes = 0

        def list(self, path: str) -> list[str]:
            self.passes += path.endswith("/held")
            if path.endswith("/new"):
                world.take()
                return []
            return super().list(path)

    fs = ClaimingFs()
    assert (found := world.open(fs).find(job_id)) is not None
    assert found.state is State.CUR
    assert fs.passes == 1


def test_a_search_ends_although_everything_moves_all_the_time(world: World) -> None:
    class BusyFs(UnsyncedFs):
        listings = 0

        def list(self, path: str) -> list[str]:
            if path.endswith("/cur"):
                self.listings += 1
                os.utime(path, ns=(0, self.listings))
            return super().list(path)

    fs = BusyFs()
    assert world.open(fs).find(plain_name()[2:28]) is None
    assert fs.listings == lookup.PASSES


def test_a_batch_that_vanishes_while_it_is_listed_is_left_out(world: World) -> None:
    world.put_many([b"1"])

    class VanishingFs(UnsyncedFs):
        def open_dir(self, path: str) -> int:
            os.rename(path, world.at("held", "away"))
            return super().open_dir(path)

    root = world.open(VanishingFs()).root
    assert list(lookup.entries(root, Q, "new")) == []
    assert os.path.isdir(world.at("held", "away"))


def test_the_listing_of_a_link_to_a_directory_is_not_the_queues(world: World) -> None:
    outside = world.at("held")
    world.plant(plain_name(), state="held")
    os.symlink(outside, world.at("new", f"{plain_name()[:-1]}b"))
    assert list(lookup.entries(world.root, Q, "new")) == []


def test_a_scan_shows_jobs_in_the_order_in_which_they_are_run_and_bare_ones_last(world: World) -> None:
    late = world.put(priority=9)
    inside = world.put_many([b"1", b"2"])
    urgent = world.put(priority=0)
    world.plant("bare.csv")
    found = list(world.engine.scan(Q, State.NEW))
    assert [item.name.id for item in found] == [urgent, *inside, late, names.NO_ID]
    assert found[-1].name.label == "bare.csv"
    assert all(os.path.isfile(item.path) for item in found)


def test_a_scan_of_later_is_in_the_order_of_due_times(world: World) -> None:
    second = world.put(due=4764000000002, priority=0)
    first = world.put(due=4764000000001)
    assert [item.name.id for item in world.engine.scan(Q, State.LATER)] == [first, second]


def test_counts_tell_jobs_and_not_batches(world: World) -> None:
    world.put_many([b"1", b"2"])
    world.put()
    world.put(due=4764000000000)
    world.engine.fail(world.take(next(text for text in world.ls("new") if not names.is_batch(text))))
    counts = world.engine.counts(Q)
    assert {state: count for state, count in counts.items() if count} == {
        State.NEW: 2,
        State.LATER: 1,
        State.FAILED: 1,
    }


def test_a_first_name_is_looked_up_without_listing_where_the_job_still_has_it(world: World) -> None:
    job_id = world.put()
    name = f"5-{job_id}-0"
    assert lookup.find_named(world.root, Q, name) == ("new", name)
    claim = world.take()
    assert lookup.find_named(world.root, Q, name) == ("cur", os.path.basename(claim.path))
    world.engine.fail(claim)
    assert lookup.find_named(world.root, Q, name) is None
    assert lookup.find_named(world.root, Q, "no name") is None


def test_an_inode_is_found_among_the_living_only(world: World) -> None:
    world.put()
    claim = world.take()
    assert lookup.find_inode(world.root, Q, claim.inode) == ("cur", os.path.basename(claim.path))
    world.engine.fail(claim)
    assert lookup.find_inode(world.root, Q, claim.inode) is None
