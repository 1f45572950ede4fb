"""init and the making of queues, cut off before each operation: no root, or a whole one; the next init completes it."""

from __future__ import annotations

import itertools
import os
import signal
import stat
from typing import TYPE_CHECKING, Any

import pytest

from engine.children import Child, children
from engine.conftest import make_ground
from engine.disks import Crash, CrashingFs, RecordingFs
from engine.test_killed_for_real import KilledFs, last_words
from engine.worlds import QUICK, World
from support.clocks import FakeClock
from support.faults import paths_below
from workqueue.engine.root import Root, init, make_queue, read_format
from workqueue.errors import NotARoot, UnknownQueue
from workqueue.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from workqueue.store.fs import Fs

SLOTS = 2
INITS: dict[str, dict[str, Any]] = {
    "plain": {"slots": SLOTS},
    "for a group": {"slots": SLOTS, "group": os.getegid(), "submit_only": True},
}
OPERATIONS = {"plain": 312, "for a group": 325}
"""As in operations.py: look at every new one before a number is changed. 256 of them make the shards of keys/."""
OPERATIONS_OF_A_QUEUE = 18


@pytest.fixture(scope="module")
def soil(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With every shard."""
    return make_ground(tmp_path_factory)


def story(act: Callable[[Fs], object]) -> list[str]:
    """All that it does, in order; what does the same thing in the same directory again and again reads the same."""
    fs = RecordingFs()
    act(fs)
    return [f"{verb} {os.path.dirname(paths[0]) if paths else ''}" for verb, *paths in fs.done]


def points(done: list[str]) -> Iterator[int]:
    """Each operation's number; of a long run of the like, the first, the middle and the last."""
    n = 0
    for _, group in itertools.groupby(done):
        length = len(list(group))
        yield from {n + 1, n + (length + 1) // 2, n + length}
        n += length
    yield n + 1


def cut_off(n: int, act: Callable[[Fs], object]) -> bool:
    """Do it on a disk that dies before the n-th operation; whether it did."""
    fs = CrashingFs(n)
    fs.armed = True
    try:
        act(fs)
    except Crash:
        fs.bury()
    return fs.reached


def layout(place: str) -> dict[str, tuple[str, int, int]]:
    """Every path below a root: mode, group and size. What a crash left beside the format file means nothing."""
    found = {}
    for path in ["", *paths_below(place)]:
        status = os.lstat(f"{place}/{path}")
        if not path.startswith(".fsq/format."):
            found[path] = stat.filemode(status.st_mode), status.st_gid, status.st_size * stat.S_ISREG(status.st_mode)
    return found


def is_root(place: str) -> bool:
    """Whether it counts as a root; then it must be one on which jobs can be put and run."""
    try:
        Root(place)
    except NotARoot:
        with pytest.raises(NotARoot):
            Producer(place)
        return False
    world = World(place, FakeClock())
    job_id = world.put(b"works")
    assert world.drain() == {job_id: b"works"}
    return True


@pytest.fixture(params=INITS)
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def whole(tmp_path: Path, how: str) -> dict[str, tuple[str, int, int]]:
    """What an undisturbed init makes."""
    init(str(tmp_path / "whole"), fs=QUICK, **INITS[how])
    return layout(str(tmp_path / "whole"))


def test_an_init_cut_off_anywhere_is_no_root_or_a_whole_one_and_the_next_completes_it(
    tmp_path: Path, how: str, whole: dict[str, tuple[str, int, int]]
) -> None:
    place = str(tmp_path / "q")
    done = story(lambda fs: init(str(tmp_path / "story"), fs=fs, **INITS[how]))
    assert len(done) == OPERATIONS[how]
    for n in points(done):
        assert cut_off(n, lambda fs: init(place, fs=fs, **INITS[how])) == (n <= len(done))
        was_root = is_root(place)
        store_id = read_format(place) if was_root else ""
        assert init(place, fs=QUICK, **INITS[how]) != was_root
        assert layout(place) == whole, f"after {done[n - 2 : n - 1]}"
        assert is_root(place)
        assert read_format(place) == (store_id or read_format(place))
        QUICK.remove_tree(place)


def test_an_init_over_a_half_made_root_may_be_cut_off_too(tmp_path: Path) -> None:
    """Of all pairs of operations at which the first and the second die, those around what is made of parts."""
    how, place = INITS["plain"], str(tmp_path / "q")
    init(str(tmp_path / "whole"), fs=QUICK, **how)
    done = story(lambda fs: init(str(tmp_path / "story"), fs=fs, **how))
    tried = [n for n in points(done) if n <= len(done) and not done[n - 1].startswith(("mkdir", "sync_dir"))]
    for first, second in itertools.product(tried[::4], tried[1::4]):
        cut_off(first, lambda fs: init(place, fs=fs, **how))
        cut_off(second, lambda fs: init(place, fs=fs, **how))
        init(place, fs=QUICK, **how)
        assert layout(place) == layout(str(tmp_path / "whole")), f"after {done[first - 1]} and {done[second - 1]}"
        QUICK.remove_tree(place)


def test_an_init_that_adds_to_a_root_cut_off_anywhere_takes_nothing_from_it(world: World) -> None:
    """A second queue and one more slot, on a root in use."""
    more = ("load", ".fsq/workers/8")

    def add(fs: Fs) -> object:
        return init(world.path, ("default", "load"), slots=9, fs=fs)

    def remove() -> None:
        QUICK.remove_tree(world.at("", queue="load"))
        QUICK.discard(world.root.dot("workers", "8"))

    store_id, before = read_format(world.path), layout(world.path)
    done = story(add)
    whole = layout(world.path)
    assert {path for path in whole if path.startswith(more)} == whole.keys() - before.keys()
    first = next(n for n, what in enumerate(done, 1) if what.startswith("create"))
    for n in (n for n in points(done) if n >= first):  # what comes before finds everything made
        remove()
        job_id = world.put(b"acknowledged")
        cut_off(n, add)
        assert world.jobs().keys() == {job_id}
        check_queue(world.path, "load")
        assert add(QUICK) is False
        assert read_format(world.path) == store_id
        assert world.drain() == {job_id: b"acknowledged"}
        assert layout(world.path) == whole, f"after {done[n - 2 : n - 1]}"
    remove()


def check_queue(place: str, queue: str) -> None:
    """It is unknown, or can be used."""
    root = Root(place, fs=QUICK)
    if os.path.isdir(f"{place}/{queue}/new"):
        assert root.space(queue, "tmp")
        assert queue in root.queues()
    else:
        assert queue not in root.queues()
        with pytest.raises(UnknownQueue):
            root.space(queue, "tmp")


def test_a_queue_whose_making_was_cut_off_anywhere_is_unknown_or_whole(world: World) -> None:
    done = story(lambda fs: make_queue(world.path, "story", fs))
    assert len(done) == OPERATIONS_OF_A_QUEUE
    for n in range(1, len(done) + 2):
        queue = f"load-{n}"
        assert cut_off(n, lambda fs, queue=queue: make_queue(world.path, queue, fs)) == (n <= len(done))  # type: ignore[misc]
        check_queue(world.path, queue)
        world.root.make_queue(queue)
        check_queue(world.path, queue)
        assert paths_below(world.at("", queue=queue)) == paths_below(world.at("", queue="story"))


# -- for real --------------------------------------------------------------------------------------------------


def test_ten_inits_at_once_nine_of_them_killed_make_one_root(tmp_path: Path) -> None:
    """Each is killed at another point of its way; all that said yes said the same."""
    whole, place = str(tmp_path / "whole"), str(tmp_path / "q")
    init(whole, slots=SLOTS, fs=QUICK)
    for shift in (0, 13):

        def killed(n: int) -> Callable[[Callable[[str], None]], None]:
            def run(tell: Callable[[str], None]) -> None:
                fs = KilledFs(n)
                fs.armed = True
                init(place, slots=SLOTS, fs=fs)
                tell(read_format(place))

            return run

        ways = [killed(n) for n in [*range(20 + shift, 312, 33), 10**6]]
        with children(*ways) as inits:
            said = [word for child in inits for word in last_words(child)[1]]
        assert len(set(said)) == 1
        assert read_format(place) == said[0]
        init(place, slots=SLOTS, fs=QUICK)
        assert layout(place) == layout(whole)
        assert is_root(place)
        QUICK.remove_tree(place)


def test_an_init_stopped_before_it_publishes_does_not_replace_the_root_that_was_made_meanwhile(tmp_path: Path) -> None:
    place = str(tmp_path / "q")

    class SleepyFs(KilledFs):
        verbs = frozenset({"link"})

        def at(self, count: int, verb: str, args: tuple[Any, ...]) -> None:
            os.kill(os.getpid(), signal.SIGSTOP)

    def sleepy(tell: Callable[[str], None]) -> None:
        fs = SleepyFs(1)
        fs.armed = True
        init(place, slots=SLOTS, fs=fs)
        tell(read_format(place))

    with Child(sleepy) as child:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        init(place, slots=SLOTS, fs=QUICK)
        job_id, store_id = World(place, FakeClock()).put(b"acknowledged"), read_format(place)
        os.kill(child.pid, signal.SIGCONT)
        assert child.hear_all() == [store_id]
    assert World(place, FakeClock()).drain() == {job_id: b"acknowledged"}
