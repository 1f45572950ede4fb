"""Wake-up: an idle worker starts what appears at once; where nothing tells, it looks again and again."""

from __future__ import annotations

import ctypes
import os
import selectors
import shutil
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

from support.processes import until
from workqueue import Job, Producer
from workqueue.engine.dealer import Dealer
from workqueue.engine.queue_dealer import RESCAN
from workqueue.engine.root import Root
from workqueue.errors import NotARoot
from workqueue.run.wakeup import POLL_FIRST, POLL_LAST, Seen, Wakeups, Watch, why_blind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.fsq import Fsq

CLONE_NEWUSER = 0x10000000


def by_submit(fsq: Fsq) -> None:
    Producer(fsq.root).submit(0, durable=False)


def by_batch(fsq: Fsq) -> None:
    Producer(fsq.root).submit_many([0], durable=False)


def by_hand(fsq: Fsq) -> None:
    os.rename(fsq.write("a file", "0"), f"{fsq.root}/default/new/a file")


def by_link(fsq: Fsq) -> None:
    Producer(fsq.root).submit(file=fsq.write("linked", "0"), mode="link")


def by_retry(fsq: Fsq) -> None:
    ref = Producer(fsq.root).submit(0, delay="1h")
    assert fsq("-r", fsq.root, "retry", ref.id).status == 0


@pytest.mark.parametrize("submit", [by_submit, by_batch, by_hand, by_link, by_retry])
def test_an_idle_worker_starts_a_new_job_at_once(fsq: Fsq, submit: Callable[[Fsq], None]) -> None:
    """However it came: of four, one after the other, listings alone would find the last after three pauses."""
    with fsq.work(lambda _: None) as running:
        running.hears("started")
        begun = time.monotonic()
        for count in (1, 2, 3, 4):
            submit(fsq)
            running.hears("finished", count)
        assert time.monotonic() - begun < 2 * RESCAN


def test_delayed_jobs_start_on_time(fsq: Fsq) -> None:
    """While the worker is idle, one that was there before, and one that comes later but is due sooner."""
    producer = Producer(fsq.root)
    due = {}

    def submit(delay: float) -> None:
        at = time.monotonic() + delay
        due[producer.submit(0, delay=delay).id] = at

    submit(0.9)
    with fsq.work(lambda job: fsq.diary.note("start", job)) as running:
        running.hears("started")
        submit(0.4)
        running.hears("finished", 2)
        begun = time.monotonic()
        for count in range(3, 9):
            submit(0.1)
            running.hears("finished", count)
        assert time.monotonic() - begun < 4, "the clock is looked at when they are due, not every second"
    starts = fsq.diary.lines("start")
    assert all(line.at >= due[line.job] - 0.01 for line in starts)
    assert [line.attempt for line in starts] == [1] * 8


def test_a_drain_waits_for_retries_but_not_for_later_jobs(fsq: Fsq) -> None:
    """A retry belongs to what was begun; what is submitted for later does not hold it up."""
    producer = Producer(fsq.root)
    later = producer.submit("later", delay="1h")
    producer.submit("retry")

    def handle(job: Job) -> None:
        fsq.diary.note("start", job)
        if job.attempt < 3:
            raise ValueError

    running = fsq.drain(handle, backoff="0.3s")
    assert [line.attempt for line in fsq.diary.lines()] == [1, 2, 3]
    assert later.state() == "later"
    waits = [event["delay"] for event in running.events("retried")]
    starts = [line.at for line in fsq.diary.lines()]
    for wait, first, second in zip(waits, starts, starts[1:], strict=False):
        assert wait - 0.01 <= second - first < wait + 5


def forbid_inotify() -> None:
    """Let this process have no inotify instance, in a user namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWUSER) == 0
    with open("/proc/sys/user/max_inotify_instances", "w") as file:
        file.write("0")
    assert libc.inotify_init() < 0


@pytest.fixture
def blind(fsq: Fsq) -> Callable[[], None]:
    """Makes a process that cannot watch; skips where the kernel does not let us."""
    if fsq.fork(forbid_inotify).wait() != 0:
        pytest.skip("no user namespace without inotify can be made here")
    return forbid_inotify


def test_without_inotify_jobs_run_all_the_same(fsq: Fsq, blind: Callable[[], None]) -> None:
    """Said once; new, delayed and cancelled jobs are found by looking, a little later."""
    producer = Producer(fsq.root)
    with fsq.work(lambda job: fsq.diary.note("start", job), first=blind) as running:
        assert running.hears("polling")["reason"]
        begun = time.monotonic()
        for count in (1, 2, 3, 4):
            producer.submit(count)
            running.hears("finished", count)
        assert time.monotonic() - begun < 2 * RESCAN
        begun = time.monotonic()
        producer.submit(5, delay="0.3s")
        running.hears("finished", 5)
        assert fsq.diary.lines("start")[-1].at - begun >= 0.29  # due times are whole milliseconds
    assert len(running.events("polling")) == 1
    assert fsq.work(lambda job: fsq.diary.note("start", job), first=blind, drain=True).wait() == 0


# -- the watch itself ----------------------------------------------------------------------------------------------


@pytest.fixture
def watch(root: str) -> Iterator[Watch]:
    """A watch on the queue `default`."""
    found = Watch(Root(root), ["default"])
    yield found
    found.close()


def is_readable(watch: Watch) -> bool:
    """Whether something was seen."""
    with selectors.DefaultSelector() as selector:
        selector.register(watch, selectors.EVENT_READ)
        return bool(selector.select(0))


def test_what_is_moved_or_linked_into_a_space_is_seen(root: str, watch: Watch, tmp_path: Path) -> None:
    """In new/, later/ and .fsq/cancel; what is created or written there is not."""
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).touch()
    assert not is_readable(watch)
    os.rename(tmp_path / "a", f"{root}/default/new/moved")
    os.link(tmp_path / "b", f"{root}/default/new/linked")
    os.rename(tmp_path / "c", f"{root}/default/later/moved later")
    with open(f"{root}/default/new/created", "w") as file:
        file.write("words")
    with open(f"{root}/.fsq/cancel/ID", "w"):
        pass
    os.rename(tmp_path / "d", os.fsencode(f"{root}/default/new/") + b"\xff")
    os.unlink(f"{root}/default/new/moved")
    assert watch.read() == [
        Seen("default", "new", "moved"),
        Seen("default", "new", "linked"),
        Seen("default", "later", "moved later"),
        Seen("", "cancel", "ID"),
        Seen("default", "new", "\udcff"),
    ]
    assert not watch.is_lost
    assert not is_readable(watch)


@pytest.mark.filterwarnings("ignore")
def test_an_overflow_is_told(watch: Watch) -> None:
    """Events were lost: the next listing must come at once."""
    watch._inotify.handle_event(InotifyEvent(WatchDescriptor(-1), Mask(InotifyConstants.IN_Q_OVERFLOW), 0, b""))
    assert watch.is_lost


def test_a_directory_that_goes_away_is_told(root: str, watch: Watch) -> None:
    """Nothing more would ever be heard of it."""
    os.rmdir(f"{root}/default/later")
    until(lambda: is_readable(watch), "the removal is seen")
    watch.read()
    assert watch.is_lost


class World:
    """Wakeups with a dealer and a selector, as in a supervisor."""

    def __init__(self, root: str) -> None:
        self.root = Root(root)
        self.selector = selectors.DefaultSelector()
        self.dealer = Dealer(self.root, ["default"])
        self.cancels = 0
        self.wakeups = Wakeups(self.root, self.dealer, self.selector, self._cancel)
        self.wakeups.open()

    def _cancel(self) -> None:
        self.cancels += 1

    def turn(self) -> None:
        """React to what was seen."""
        for key, _ in self.selector.select(0):
            key.data()

    def deal(self) -> list[str]:
        """All names that the dealer knows."""
        found = []
        while dealt := self.dealer.deal(16):
            found += dealt[1]
        return found


@pytest.fixture
def world(root: str) -> Iterator[World]:
    found = World(root)
    yield found
    found.wakeups.close()
    found.selector.close()


def test_what_is_seen_reaches_the_dealer(world: World, root: str) -> None:
    """New names, delayed names, orders to cancel: without a listing."""
    producer = Producer(root)
    world.dealer.refresh(now=True)
    new, later = producer.submit(0), producer.submit(1, delay="1h")
    world.turn()
    assert world.deal() == [f"5-{new.id}-0"]
    assert 3590 < (world.dealer.next_due() or 0) < 3601
    with open(f"{root}/.fsq/cancel/{later.id}", "w"):
        pass
    world.turn()
    assert world.cancels == 1


def test_after_lost_events_everything_is_listed_and_watched_again(world: World, root: str) -> None:
    """A directory was removed and made again, with a job in it that nobody told of."""
    world.dealer.refresh(now=True)
    os.rename(f"{root}/default/new", f"{root}/default/old")
    os.mkdir(f"{root}/default/new")
    shutil.rmtree(f"{root}/default/old")
    first = Producer(root).submit(0)
    world.turn()
    assert world.deal() == [f"5-{first.id}-0"]
    assert world.dealer.rescan == RESCAN
    second = Producer(root).submit(1)
    world.turn()
    assert world.deal() == [f"5-{second.id}-0"]


def test_a_root_that_is_gone_is_said_to_be(world: World, root: str) -> None:
    """Not "no wake-ups"."""
    shutil.rmtree(root)
    with pytest.raises(NotARoot):
        world.turn()


def test_polling_is_frequent_while_there_is_work(root: str) -> None:
    """And slows down to once a second when nothing comes."""
    world = World(root)
    world.wakeups.close()
    intervals = []
    for _ in range(20):
        world.wakeups.refresh(busy=False)
        intervals.append(world.wakeups.interval)
    assert intervals == sorted(intervals)
    assert intervals[0] <= POLL_LAST
    assert intervals[-1] == POLL_LAST
    world.wakeups.refresh(busy=True)
    assert world.wakeups.interval == POLL_FIRST == world.dealer.rescan
    world.selector.close()


def test_the_private_names_of_watchdog_are_there() -> None:
    """We use InotifyFD without its thread; a release that moves these must be refused by the pinned range."""
    assert version("watchdog").split(".")[0] == "7"
    inotify = InotifyFD()
    fds = [inotify._inotify_fd, inotify._kill_r, inotify._kill_w]
    assert all(os.readlink(f"/proc/self/fd/{fd}") for fd in fds)
    assert not inotify.is_alive()
    assert callable(inotify.add_callback)
    assert callable(inotify.read_events)
    assert callable(inotify.handle_event)
    for fd in fds:
        os.close(fd)


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /srv/nfs rw shared:2 - nfs4 server:/export rw
31 30 0:27 / /srv/nfs/scratch rw shared:3 - tmpfs tmpfs rw
32 22 0:28 / /home/me/far\\040away rw - fuse.sshfs me@far: rw
33 22 0:29 / /mnt/größe rw - cifs //nas/größe rw
34 22 0:30 / /mnt/over rw - nfs server:/old rw
35 22 0:31 / /mnt/over rw - xfs /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/spool", None),
        ("/srv/nfs", "nfs4"),
        ("/srv/nfs/etl", "nfs4"),
        ("/srv/nfsx/etl", None),
        ("/srv/nfs/scratch/etl", None),
        ("/home/me/far away/etl", "fuse.sshfs"),
        ("/mnt/größe/etl", "cifs"),
        ("/mnt/over/etl", None),
    ],
)
def test_file_systems_that_others_change_cannot_be_watched(tmp_path: Path, path: str, kind: str | None) -> None:
    """Told from the mount that is nearest, the last one over it; names are unescaped."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    reason = why_blind(path, str(mounts))
    assert reason == (None if kind is None else f"{kind} does not tell of other machines' changes")


def test_this_file_system_can_be_watched(tmp_path: Path) -> None:
    """By the machine's own table of mounts."""
    assert why_blind(str(tmp_path)) is None
