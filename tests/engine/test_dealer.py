"""The dealer: every ready name in order, each once; whatever is missed is found by the next listing."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from engine.worlds import YEAR, Q, World, plain_name
from support.disks import UnsyncedFs
from workqueue.engine import marks
from workqueue.engine.dealer import Dealer
from workqueue.engine.protocol import Claim, Unclaimable
from workqueue.engine.queue_dealer import QueueDealer
from workqueue.errors import of_path
from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Iterator


def listed(world: World, width: int = 100) -> QueueDealer:
    dealer = QueueDealer(world.root, Q, width)
    dealer.refresh(now=True)
    return dealer


def ids(texts: list[str]) -> list[str]:
    parsed = [names.parse(text.rpartition("/")[2]) for text in texts]
    return [name.id if name else "bare" for name in parsed]


def take_all(world: World, dealer: QueueDealer) -> list[str]:
    """Deal one by one, claim and finish, until nothing comes."""
    got: list[str] = []
    while hints := dealer.deal(1):
        taken = world.engine.take(Q, hints[0], 1)
        if isinstance(taken, Claim):
            got.append(taken.id)
            world.engine.finish(taken)
        dealer.settle(hints)
    return got


def test_jobs_are_dealt_by_priority_then_age(world: World) -> None:
    late = [world.put(priority=7) for _ in range(3)]
    urgent = [world.put(priority=0) for _ in range(3)]
    plain = [world.put() for _ in range(3)]
    assert ids(listed(world).deal(100)) == urgent + plain + late


def test_a_name_is_dealt_once_while_it_is_out(world: World) -> None:
    world.put()
    dealer = listed(world)
    (name,) = dealer.deal(5)
    dealer.refresh(now=True)
    dealer.add(name)
    assert dealer.deal(5) == []
    dealer.settle([name])
    dealer.refresh(now=True)
    assert dealer.deal(5) == [name], "it was never claimed: the listing tells"


def test_names_that_a_worker_never_claimed_are_dealt_again_in_their_place(world: World) -> None:
    first, second, third = (world.put() for _ in range(3))
    dealer = listed(world)
    dealt = dealer.deal(2)
    dealer.give_back(dealt)
    assert ids(dealer.deal(3)) == [first, second, third]


def test_a_name_that_the_watch_tells_is_dealt_before_the_next_listing_and_once(world: World) -> None:
    dealer = listed(world)
    job_id = world.put()
    (text,) = world.ls("new")
    dealer.add(text)
    dealer.add(text)
    dealer.add(".hidden")
    assert ids(dealer.deal(5)) == [job_id]


def test_dot_names_are_never_dealt(world: World) -> None:
    world.plant(".nfs000001")
    dealer = listed(world)
    assert dealer.deal(5) == []
    assert dealer.is_empty()


def test_the_disk_is_listed_every_two_seconds_and_not_more_often(world: World) -> None:
    dealer = listed(world)
    world.put()
    dealer.refresh()
    assert dealer.deal(1) == []
    world.clock.advance(2.1)
    dealer.refresh()
    assert len(dealer.deal(1)) == 1


def test_a_slow_listing_is_made_less_often(world: World) -> None:
    class SlowFs(UnsyncedFs):
        def each(self, path: str) -> Iterator[str]:
            world.clock.advance(0.5)
            return super().each(path)

    dealer = QueueDealer(world.open(SlowFs()).root, Q)
    dealer.refresh(now=True)
    assert dealer.next_listing - world.clock.monotonic() == pytest.approx(20 * 1.0)


def test_a_backlog_wider_than_the_window_is_dealt_whole_and_in_order(world: World) -> None:
    expected = [world.put(durable=False) for _ in range(25)]
    dealer = listed(world, width=4)
    got: list[str] = []
    while len(got) < 25:
        dealer.refresh()
        got += take_all(world, dealer)
    assert got == expected


def test_two_dealers_cost_lost_races_and_nothing_else(world: World) -> None:
    expected = {world.put(durable=False) for _ in range(20)}
    one, other = listed(world), listed(world)
    got: list[str] = []
    for _ in range(20):
        for dealer in (one, other):
            for hint in dealer.deal(1):
                taken = world.engine.take(Q, hint, 1)
                if isinstance(taken, Claim):
                    got.append(taken.id)
                    world.engine.finish(taken)
                dealer.settle([hint])
    assert sorted(got) == sorted(expected)
    assert one.is_empty()
    assert other.is_empty()


# -- batches ---------------------------------------------------------------------------------------------------


def test_the_jobs_of_a_batch_stand_among_the_others_by_their_own_age_and_the_batch_goes_when_it_is_empty(
    world: World,
) -> None:
    before = world.put()
    inside = world.put_many([b"1", b"2", b"3"])
    after = world.put()
    dealer = listed(world)
    assert take_all(world, dealer) == [before, *inside, after]
    assert world.ls("new") == []
    assert dealer.is_empty()


def test_a_batch_is_removed_by_whoever_settles_its_last_job_and_not_before(world: World) -> None:
    world.put_many([b"1", b"2"])
    dealer = listed(world)
    first, second = dealer.deal(2)
    world.take(first)
    dealer.settle([first])
    assert len(world.ls("new")) == 1
    world.take(second)
    dealer.settle([second])
    assert world.ls("new") == []


def test_a_batch_whose_jobs_were_not_claimed_stays_and_is_dealt_again(world: World) -> None:
    inside = world.put_many([b"1", b"2"])
    dealer = listed(world)
    dealer.settle(dealer.deal(2))
    dealer.refresh(now=True)
    assert ids(dealer.deal(5)) == inside


def test_a_batch_dealt_in_part_when_it_is_listed_again_is_dealt_once(world: World) -> None:
    inside = world.put_many([b"1", b"2", b"3"])
    dealer = listed(world)
    first = dealer.deal(1)
    dealer.refresh(now=True)
    rest = dealer.deal(5)
    assert ids(first + rest) == inside


def test_an_empty_batch_is_removed(world: World) -> None:
    os.mkdir(world.at("new", plain_name()[:-1] + "b"))
    dealer = listed(world)
    assert dealer.deal(1) == []
    assert world.ls("new") == []


def test_a_batch_larger_than_the_window_is_dealt_whole(world: World) -> None:
    inside = world.put_many([b"x"] * 30)
    dealer = listed(world, width=5)
    assert take_all(world, dealer) == inside


def test_a_batch_that_vanishes_before_it_is_opened_is_no_error(world: World) -> None:
    world.put_many([b"1"])
    dealer = listed(world)
    (batch,) = world.ls("new")
    os.rename(world.at("new", batch), world.at("held", batch))
    assert dealer.deal(1) == []


def test_a_directory_that_may_not_be_opened_is_dealt_as_a_thing_to_be_moved_aside_and_stops_nothing(
    world: World,
) -> None:
    class ClosedFs(UnsyncedFs):
        def open_dir(self, path: str) -> int:
            raise of_path(errno.EACCES, path)

    batch = plain_name()[:-1] + "b"
    os.mkdir(world.at("new", batch))
    job_id = world.put()
    dealer = QueueDealer(world.open(ClosedFs()).root, Q)
    dealer.refresh(now=True)
    assert dealer.deal(5) == [batch, f"5-{job_id}-0"]


def test_a_batch_with_nothing_but_a_hidden_file_does_not_keep_the_queue_from_being_drained(world: World) -> None:
    batch = plain_name()[:-1] + "b"
    os.mkdir(world.at("new", batch))
    world.plant(f"{batch}/.rsync-left-this")
    dealer = Dealer(world.root, [Q])
    assert dealer.deal(1) is None
    assert dealer.is_drained()
    assert world.ls("new") == [batch]


# -- names that cannot be renamed ------------------------------------------------------------------------------


class StickyFs(UnsyncedFs):
    """Files marked immutable: they cannot be renamed."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def rename(self, source: str, target: str) -> None:
        if self.mark in source:
            raise of_path(errno.EPERM, source)
        super().rename(source, target)


@pytest.mark.parametrize("where", ["", "batch"])
def test_a_name_that_cannot_be_renamed_is_skipped_until_it_is_another_file(world: World, where: str) -> None:
    if where:
        world.put_many([b"1", b"2"])
        (batch,) = world.ls("new")
        stuck = f"{batch}/{min(os.listdir(world.at('new', batch)))}"
    else:
        world.put()
        (stuck,) = world.ls("new")
        world.put()
    fs = StickyFs(stuck)
    engine = world.open(fs)
    dealer = QueueDealer(engine.root, Q)
    dealer.refresh(now=True)
    told = 0
    for _ in range(3):
        for hint in dealer.deal(10):
            try:
                engine.take(Q, hint, 1)
            except Unclaimable as error:
                told += 1
                dealer.skip(error.hint, error.inode)
            dealer.settle([hint])
        dealer.refresh(now=True)
    assert told == 1
    assert dealer.is_empty()
    assert len(world.ls("cur")) == 1

    path = world.at("new", stuck)
    os.rename(path, world.at("held", "kept"))
    with open(path, "wb"):
        pass
    fs.mark = "nothing"
    assert not dealer.is_empty()
    assert dealer.deal(1) == [stuck]


def test_a_skipped_name_that_is_gone_is_forgotten(world: World) -> None:
    world.plant("stuck")
    dealer = listed(world)
    assert dealer.deal(1) == ["stuck"]
    dealer.skip("stuck", os.stat(world.at("new", "stuck")).st_ino)
    dealer.add("stuck")
    assert dealer.deal(1) == []
    os.unlink(world.at("new", "stuck"))
    assert dealer.is_empty()


# -- delayed jobs ----------------------------------------------------------------------------------------------


def test_a_delayed_job_is_promoted_when_it_is_due_and_not_before(world: World) -> None:
    job_id = world.put(due=world.clock.now_ms() + 10_000)
    dealer = listed(world)
    assert dealer.next_due() == pytest.approx(10)
    assert dealer.promote() == 0
    world.clock.advance(9.999)
    assert dealer.promote() == 0
    world.clock.advance(0.001)
    assert dealer.promote() == 1
    assert world.ls("new") == [f"5-{job_id}-0"]
    assert ids(dealer.deal(1)) == [job_id]
    assert dealer.next_due() is None


def test_jobs_become_ready_in_the_order_in_which_they_are_due(world: World) -> None:
    now = world.clock.now_ms()
    world.put(due=now + 3000)
    world.put(due=now + 1000)
    dealer = listed(world)
    (soonest,) = [text for text in world.ls("later") if text.startswith(str(now + 1000))]
    world.clock.advance(1)
    assert dealer.promote() == 1
    assert soonest not in world.ls("later")
    assert dealer.next_due() == pytest.approx(2)


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_after_a_clock_jump_of_a_year_a_job_may_start_late_and_never_never(world: World, jump: float) -> None:
    due = world.clock.now_ms() + 60_000
    job_id = world.put(due=due)
    dealer = listed(world)
    world.clock.step(jump)
    dealer.refresh()
    promoted = dealer.promote()
    assert promoted == (jump > 0)
    if jump < 0:
        assert dealer.next_due() == pytest.approx(60 + YEAR)
        world.clock.step(-jump)
        world.clock.advance(60)
        dealer.refresh()
        assert dealer.promote() == 1
    assert ids(dealer.deal(1)) == [job_id]


def test_the_wall_clock_does_not_decide_when_the_disk_is_listed(world: World) -> None:
    dealer = listed(world)
    world.put()
    world.clock.step(-YEAR)
    world.clock.advance(2.1)
    dealer.refresh()
    assert len(dealer.deal(1)) == 1


def test_a_delayed_batch_is_promoted_whole(world: World) -> None:
    inside = world.put_many([b"1", b"2"], due=world.clock.now_ms() + 1000)
    dealer = listed(world)
    assert dealer.deal(5) == []
    world.clock.advance(1)
    assert dealer.promote() == 1
    assert ids(dealer.deal(5)) == inside


def test_mv_from_new_to_later_is_due_now(world: World) -> None:
    job_id = world.put()
    (text,) = world.ls("new")
    os.rename(world.at("new", text), world.at("later", text))
    world.plant("bare.csv", state="later")
    dealer = listed(world)
    assert dealer.promote() == 2
    assert set(ids(dealer.deal(5))) == {job_id, "bare"}


def test_mv_from_cur_to_later_drops_the_owner(world: World) -> None:
    job_id = world.put()
    claim = world.take()
    os.rename(claim.path, world.at("later", os.path.basename(claim.path)))
    assert listed(world).promote() == 1
    assert world.ls("new") == [f"5-{job_id}-1"]


def test_a_bare_file_with_a_due_time_waits_for_it(world: World) -> None:
    due = world.clock.now_ms() + 5000
    world.plant(f"{due}-report.csv", state="later")
    dealer = listed(world)
    assert dealer.promote() == 0
    world.clock.advance(5)
    assert dealer.promote() == 1
    assert world.ls("new") == ["report.csv"]


def test_a_bare_file_from_later_never_replaces_one_of_its_name_in_new(world: World) -> None:
    world.plant("same", b"first")
    world.plant("same", b"second", "later")
    dealer = listed(world)
    assert dealer.promote() == 0
    taken = world.take("same")
    assert world.engine.body(taken) == b"first"
    dealer.refresh(now=True)
    assert dealer.promote() == 1
    assert world.engine.body(world.take("same")) == b"second"


def test_a_delayed_job_that_the_watch_tells_of_is_promoted_before_the_next_listing(world: World) -> None:
    dealer = listed(world)
    world.put(due=world.clock.now_ms() + 100)
    (text,) = world.ls("later")
    dealer.add_later(text)
    dealer.add_later(".hidden")
    assert dealer.next_due() == pytest.approx(0.1)
    world.clock.advance(0.1)
    assert dealer.promote() == 1


def test_more_delayed_jobs_than_are_remembered_are_all_promoted(world: World) -> None:
    now = world.clock.now_ms()
    for number in range(10):
        world.put(due=now + number, durable=False)
    dealer = listed(world, width=3)
    world.clock.advance(1)
    promoted = 0
    for _ in range(5):
        promoted += dealer.promote()
    assert promoted == 10
    assert len(world.ls("new")) == 10


def test_a_job_that_another_promoted_is_a_lost_race(world: World) -> None:
    world.put(due=world.clock.now_ms())
    one, other = listed(world), listed(world)
    assert (one.promote(), other.promote()) == (1, 0)


# -- several queues, and the end -------------------------------------------------------------------------------


@pytest.fixture
def two(world: World) -> Dealer:
    world.engine.make_queue("low")
    return Dealer(world.root, [Q, "low"])


def test_queues_named_first_are_served_first(world: World, two: Dealer) -> None:
    world.put(queue="low", priority=0)
    world.put()
    two.refresh(now=True)
    first, second, none = two.deal(4), two.deal(4), two.deal(4)
    assert first is not None
    assert second is not None
    assert none is None
    assert (first[0], second[0]) == (Q, "low")


def test_the_next_due_time_is_the_first_of_all_queues(world: World, two: Dealer) -> None:
    assert two.next_due() is None
    world.put(queue="low", due=world.clock.now_ms() + 1000)
    world.put(due=world.clock.now_ms() + 2000)
    two.refresh(now=True)
    assert two.next_due() == pytest.approx(1)
    world.clock.advance(2)
    two.refresh()
    assert len(world.ls("new")) == len(world.ls("new", "low")) == 1


@pytest.mark.parametrize("space", ["new", "later"])
def test_a_queue_at_rest_is_looked_at_again_when_the_watch_tells_of_a_name(
    world: World, two: Dealer, space: str
) -> None:
    two.refresh(now=True)
    assert is_at_rest(two)
    world.put(queue="low", due=world.clock.now_ms() + 1000 if space == "later" else None)
    (text,) = world.ls(space, "low")
    (two.add if space == "new" else two.add_later)("low", text)
    assert list(two.ready) == ["low"], "and no other queue costs a turn anything"
    world.clock.advance(1)
    two.refresh()
    assert two.count("low") == 1
    assert two.deal(1) is not None
    two.refresh()
    assert is_at_rest(two)


def test_a_queue_at_rest_is_looked_at_again_when_names_come_back_or_a_listing_is_due(world: World, two: Dealer) -> None:
    world.put(queue="low")
    two.refresh(now=True)
    dealt = two.deal(1)
    assert dealt is not None
    assert is_at_rest(two)
    two.give_back(*dealt)
    assert list(two.ready) == ["low"]
    assert two.deal(1) == dealt
    assert is_at_rest(two)
    world.put()
    world.clock.advance(10)
    two.refresh()
    assert two.count(Q) == 1


def test_a_queue_that_a_drain_finds_something_in_is_looked_at_in_the_next_turn(world: World, two: Dealer) -> None:
    two.refresh(now=True)
    assert is_at_rest(two)
    world.put()
    assert not two.is_drained()
    two.refresh()
    assert list(two.ready) == [Q, "low"]


def test_names_beyond_the_window_are_listed_when_it_is_used_up(world: World) -> None:
    dealer = Dealer(world.root, [Q])
    dealer.queues[Q] = QueueDealer(world.root, Q, 2)
    for _ in range(5):
        world.put()
    dealer.refresh(now=True)
    found = 0
    while dealer.count(Q):
        found += len(dealer.queues[Q].deal(2))
        dealer.refresh()
    assert found == 5


def is_at_rest(dealer: Dealer) -> bool:
    """Whether a turn has no queue to look at, once it has seen that none has a name."""
    return not any(dealer.count(queue) for queue in (Q, "low")) and not dealer.ready and dealer.next_due() is None


def test_a_queue_is_drained_when_nothing_is_ready_running_or_waiting_for_another_attempt(world: World) -> None:
    dealer = Dealer(world.root, [Q])
    assert dealer.is_drained()
    world.put()
    assert not dealer.is_drained(), "one is ready"
    claim = world.take()
    assert not dealer.is_drained(), "one is running"
    world.engine.defer(claim, 3600)
    assert not dealer.is_drained(), "one waits for another attempt"
    world.clock.advance(3600)
    dealer.refresh(now=True)
    dealer.deal(1)
    assert not dealer.is_drained(), "one is dealt"
    claim = world.take()
    dealer.queues[Q].settle(world.ls("new"))
    world.engine.fail(claim)
    dealer = Dealer(world.root, [Q])
    assert dealer.is_drained(), "one has failed"


def test_a_job_submitted_for_a_later_time_or_snoozed_for_free_does_not_hold_up_a_drain(world: World) -> None:
    world.put(due=world.clock.now_ms() + 3600_000)
    world.put_many([b"1"], due=world.clock.now_ms() + 3600_000)
    world.put()
    world.engine.defer(world.take(), 60, free=True)
    assert Dealer(world.root, [Q]).is_drained()


def test_a_retried_job_in_a_delayed_batch_holds_up_a_drain(world: World) -> None:
    batch = f"{world.clock.now_ms() + 10**7}-{plain_name()[:-1]}b"
    os.mkdir(world.at("later", batch))
    world.plant(f"{batch}/{plain_name(attempt=1)}", state="later")
    assert not Dealer(world.root, [Q]).is_drained()


def test_a_job_in_any_of_the_queues_keeps_them_from_being_drained(world: World, two: Dealer) -> None:
    world.put(queue="low")
    assert not two.is_drained()


def test_marks_do_not_hold_up_a_drain(world: World) -> None:
    marks.mark(world.root, plain_name()[2:28])
    assert Dealer(world.root, [Q]).is_drained()
