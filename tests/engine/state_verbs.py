"""The verbs whose steps docs/states.md shows, and the forms that a job has while each is at work.

The world is stopped before each disk operation and looked at: what is there is what a kill would leave.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.disks import CHANGES, WatchedFs
from engine.scenarios import SCENARIOS, Scenario, delayed, held, keyed, operator, run, running, sweep, the_claim
from engine.state_agents import AGENTS
from engine.state_forms import contents, form
from engine.submits import SUBMITS, Submit, put, put_file
from engine.worlds import SLOT, Q, World
from workqueue.engine import housekeeping, operate
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim, Unclaimable
from workqueue.errors import of_path

Act = Callable[[DirectoryEngine, World, str, str], object]
"""Gets the id of the job that was there before, and the path of a user's file."""


class Step(NamedTuple):
    """A form, and the operation that led to it."""

    by: str
    form: str


class StoppedFs(WatchedFs):
    """Stops the world before each operation, and looks. What changes nothing that can be seen is no step.

    A file that `is_far` is on another file system.
    """

    verbs = CHANGES | {"open", "open_dir", "open_slot"}

    def __init__(self, look: Callable[[], str], is_far: Callable[[str], bool] = lambda _: False) -> None:
        self.steps: list[Step] = []
        self.count = 0
        self._look, self._is_far = look, is_far
        self._last = ""
        self._refused = 0
        self._guard = threading.Lock()  # a batch is synced by several threads

    def before(self, verb: str, args: tuple[Any, ...]) -> None:
        with self._guard:
            self.stop(verb)
            self.count += 1
            if self.count == self._refused:
                raise of_path(errno.EIO, str(args[0]))

    def stop(self, verb: str = "") -> None:
        """Look; `verb` is what is done next."""
        found = self._look()
        if not self.steps or self.steps[-1].form != found:
            self.steps.append(Step(self._last, found))
        self._last = verb

    def begin(self, refused: int = 0) -> None:
        """Forget what was before. The `refused` operation from now on fails, if it is not 0."""
        self.steps.clear()
        self.count, self._last, self._refused = 0, "", refused

    def rename(self, source: str, target: str) -> None:
        if self._is_far(source):
            raise of_path(errno.EXDEV, source)
        super().rename(source, target)


@dataclass
class Case:
    """A verb at work on one job."""

    act: Act
    bring: Callable[[World], str] = lambda _: ""
    file: bool = False
    """Whether a user's file is part of it."""
    far: bool = False
    """Whether that is on another file system."""
    whose: str = ""
    """Where two jobs are there, which is looked at: the one `before`, or the one `after`."""

    def do(self, world: World, file: str, refused: int = 0) -> StoppedFs:
        """Do it, and stop at each step; the first is what was before."""
        before = self.bring(world)
        others: dict[str, Callable[[str], bool]] = {"before": lambda it: it != before, "after": lambda it: it == before}
        is_another = others.get(self.whose, lambda _: False)
        known: dict[int, bytes] = {}

        def look() -> str:
            for inode, data in contents(world.path):
                assert known.setdefault(inode, data) == data, "a job's content never changes"
            return form(world.path, file if self.file else "", is_another)

        fs = StoppedFs(look, lambda path: self.far and path == file)
        engine = world.open(fs)
        fs.begin(refused)
        with contextlib.suppress(*((OSError, Unclaimable) if refused else ())):
            self.act(engine, world, before, file)
        fs.stop()
        return fs


def of_scenario(name: str, scenario: Scenario) -> Case:
    hands_over = name.startswith(("commit", "take over", "defer what"))
    whose = "before" if hands_over else ""
    return Case(lambda engine, world, job_id, _: scenario.act(engine, world, job_id), scenario.bring, whose=whose)


def of_submit(kind: str, submit: Submit) -> Case:
    has_file = kind.startswith(("move", "link", "copy"))
    return Case(lambda engine, world, _, file: submit(world, engine, file), file=has_file)


# -- what was before -------------------------------------------------------------------------------------------


def bare(world: World) -> str:
    world.plant("report.csv", b"content")
    return ""


def torn(world: World) -> str:
    """A job that a wrong producer wrote, or a power cut left of a volatile one."""
    job_id = world.put(b"content")
    os.truncate(world.find(job_id).path, 20)
    return job_id


def torn_claim(world: World) -> str:
    job_id = running(world)
    os.truncate(world.find(job_id).path, 20)
    return job_id


def cancelled(world: World) -> str:
    """A running job whose worker has not heard of its cancel yet."""
    job_id = running(world)
    world.engine.cancel(world.find(job_id))
    return job_id


def cancelled_too_late(world: World) -> str:
    job_id = cancelled(world)
    world.engine.finish(the_claim(world.engine, job_id))
    return job_id


def unpublished(world: World, **fields: Any) -> str:
    """A job whose submitter died before its rename."""
    job_id = world.put(b"content", **fields)
    os.rename(world.at("new", f"5-{job_id}-0"), world.at("tmp", f"5-{job_id}-0"))
    return job_id


def unpublished_batch(world: World) -> str:
    world.put_many([b"content"] * 3)
    (name,) = world.ls("new")
    os.rename(world.at("new", name), world.at("tmp", name))
    return ""


# -- what is done ----------------------------------------------------------------------------------------------


def claim(engine: DirectoryEngine, world: World, *_: str) -> None:
    engine.take(Q, world.ls("new")[0], SLOT)


def fail_after_an_error(engine: DirectoryEngine, claim: Claim) -> None:
    engine.add_error(claim, {"message": "x"})
    engine.fail(claim)


def put_keyed(engine: DirectoryEngine, world: World, *_: str) -> None:
    put(key="k")(world, engine, "")


def move_from_afar(**options: Any) -> Act:
    def act(engine: DirectoryEngine, world: World, _: str, file: str) -> None:
        engine.root.device = -1
        put_file("move", **options)(world, engine, file)

    return act


def carry_out_cancels(engine: DirectoryEngine, *_: object) -> None:
    housekeeping.carry_out_cancels(engine.root)


def on(bring: Callable[[World], str], act: Callable[[DirectoryEngine, World, str], object]) -> Case:
    """A verb on a job that was there before."""
    return Case(lambda engine, world, job_id, _: act(engine, world, job_id), bring)


HOLD = operator(lambda engine, found: operate.hold(engine.root, found))
CANCEL = operator(DirectoryEngine.cancel)

CASES = {
    **{kind: of_submit(kind, submit) for kind, submit in SUBMITS.items()},
    "keyed, taken": Case(put_keyed, keyed, whose="after"),
    "keyed, after a dead submitter": Case(put_keyed, lambda world: unpublished(world, key="k"), whose="before"),
    "move from another file system": Case(move_from_afar(), file=True, far=True),
    "move from another file system with key": Case(move_from_afar(key="k"), file=True, far=True),
    **{name: of_scenario(name, scenario) for name, scenario in SCENARIOS.items()},
    "claim a bare job": on(bare, claim),
    "claim what is torn": on(torn, claim),
    "recover what is torn": on(torn_claim, sweep),
    "fail after an error": on(running, run(fail_after_an_error)),
    "finish before the cancel is heard of": on(cancelled, run(DirectoryEngine.finish)),
    "forget a cancel that came too late": on(cancelled_too_late, carry_out_cancels),
    "hold a delayed job": on(delayed, HOLD),
    "cancel a delayed job": on(delayed, CANCEL),
    "cancel a held job": on(held, CANCEL),
    "clean tmp": on(unpublished, lambda engine, *_: AGENTS["tmp_age"](engine)),
    "clean tmp of a batch": on(unpublished_batch, lambda engine, *_: AGENTS["tmp_age"](engine)),
}
