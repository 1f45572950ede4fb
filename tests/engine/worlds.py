"""A root for a test, looked at from outside: what lies where, and what becomes of it in the end."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.clocks import FakeClock
from support.disks import UnsyncedFs
from workqueue.engine import claims, housekeeping, lookup, recovery
from workqueue.engine.dealer import Dealer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim, Corrupted, Located, NewJob, Settled
from workqueue.engine.root import Root, init
from workqueue.jobs import names
from workqueue.jobs.content import Options
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from workqueue.clock import Clock
    from workqueue.store.fs import Fs

Q = "default"
SLOT = 3
QUICK = UnsyncedFs()
SOME = 16
"""As many names as a worker is dealt at a time."""
YEAR = 365 * 86400.0


@dataclass
class World:
    """A root, and the clock that everything in it is dated by."""

    path: str
    clock: FakeClock
    engine: DirectoryEngine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = self.open()

    @property
    def root(self) -> Root:
        return self.engine.root

    def open(self, fs: Fs = QUICK, clock: Clock | None = None, **overrides: Any) -> DirectoryEngine:
        """Another process's engine on the same root, with a disk of its own."""
        engine = DirectoryEngine(Root(self.path, fs=fs, clock=clock or self.clock, overrides=overrides))
        engine.root.space(Q, "new")
        return engine

    # -- by hand -----------------------------------------------------------------------------------------------

    def at(self, state: str, name: str = "", queue: str = Q) -> str:
        """The path of a name in a space."""
        return os.path.join(self.path, queue, state, name) if name else os.path.join(self.path, queue, state)

    def plant(self, name: str, data: bytes = b"payload", state: str = "new") -> str:
        """Put a file into a space as a stranger would."""
        path = self.at(state, name)
        with open(path, "xb") as file:
            file.write(data)
        return path

    def ls(self, state: str, queue: str = Q) -> list[str]:
        """All names in a space, dot names too."""
        return sorted(os.listdir(self.at(state, "", queue)))

    def dot(self, part: str) -> list[str]:
        """All names in a part of .fsq."""
        return sorted(os.listdir(self.root.dot(part)))

    def only(self, state: str) -> names.Name:
        """The one job of a state, by its name."""
        (text,) = self.ls(state)
        name = names.parse(text)
        assert name is not None, text
        return name

    # -- verbs -------------------------------------------------------------------------------------------------

    def put(self, payload: bytes = b"1", engine: DirectoryEngine | None = None, **fields: Any) -> str:
        """Submit, durably unless told otherwise; returns the id."""
        return (engine or self.engine).put(new_job(payload, **fields)).id

    def put_many(self, payloads: list[bytes], engine: DirectoryEngine | None = None, **fields: Any) -> list[str]:
        like = new_job(b"", **fields)
        batches = (engine or self.engine).put_many(like, ((data, "bytes") for data in payloads))
        return [job_id for batch in batches for job_id in batch]

    def take(self, hint: str | None = None, engine: DirectoryEngine | None = None, slot: int = SLOT) -> Claim:
        """Claim a name, or the only one."""
        if hint is None:
            (hint,) = self.ls("new")
        claim = (engine or self.engine).take(Q, hint, slot)
        assert isinstance(claim, Claim), claim
        return claim

    def take_corrupt(self, hint: str, engine: DirectoryEngine | None = None) -> Corrupted:
        """Claim what cannot be read."""
        found = (engine or self.engine).take(Q, hint, SLOT)
        assert isinstance(found, Corrupted), found
        return found

    def find(self, job_id: str) -> Located:
        found = self.engine.find(job_id)
        assert found is not None, f"job {job_id} is nowhere"
        return found

    def sweep(self, engine: DirectoryEngine | None = None) -> list[Settled | str]:
        """What a living supervisor, with no worker of its own, does every second."""
        root = (engine or self.engine).root
        return list(recovery.sweep(root, root.queues(), set()))

    def drain(self) -> dict[str, bytes]:
        """Recover and run everything that is there, delayed jobs too; id → payload, each job once or it fails."""
        self.sweep()
        self.clock.advance(YEAR)
        dealer = Dealer(self.root, [Q])
        done: dict[str, bytes] = {}
        dealer.refresh(now=True)
        while (dealt := dealer.deal(SOME)) is not None:
            _, hints = dealt
            for hint in hints:
                taken = self.engine.take(Q, hint, SLOT)
                if isinstance(taken, Claim):
                    assert taken.id not in done, f"job {taken.id} was run twice"
                    done[taken.id] = self.engine.body(taken)
                    assert self.engine.finish(taken)
            dealer.queues[Q].settle(hints)
            dealer.refresh(now=True)
        assert dealer.is_drained()
        return done

    # -- truth -------------------------------------------------------------------------------------------------

    def states(self, job_id: str) -> list[State]:
        """Every state that a job is in: one, or none."""
        return [
            state
            for state in State
            for text in lookup.entries(self.root, Q, state)
            if (name := names.parse(text.rpartition("/")[2])) and name.id == job_id
        ]

    def jobs(self) -> dict[str, State]:
        """Where each job is; fails if one is in two places, or is not whole."""
        found: dict[str, State] = {}
        for state in State:
            for text in lookup.entries(self.root, Q, state):
                name = names.parse(text.rpartition("/")[2])
                assert name is not None, f"{state}/{text} is no job"
                assert name.id not in found, f"job {name.id} is in {found[name.id]} and in {state}"
                found[name.id] = state
                claims.body(self.root, claims.load(self.root, Q, name, f"{self.at(state)}/{text}"))
        return found

    def clean(self) -> None:
        """What housekeeping leaves of dead submitters, after a year: nothing."""
        self.clock.advance(YEAR)
        housekeeping.clean_tmp(self.root, Q)
        assert self.ls("tmp") == []


def new_job(payload: bytes = b"1", **fields: Any) -> NewJob:
    """A job; what is no field of NewJob is an option."""
    options = Options(**{name: fields.pop(name) for name in list(fields) if name in Options.__struct_fields__})
    return NewJob(fields.pop("queue", Q), payload, fields.pop("kind", "bytes"), options=options, **fields)


NOBODY = 65534


def nobodys_world(directory: Path) -> World:
    """A root that belongs to a user without rights, for a child that becomes that user."""
    for parent in (directory, *list(directory.parents)[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    path = str(directory / "root")
    init(path, slots=8, fs=QUICK)
    for place, _, files in os.walk(path):
        for name in ("", *files):
            os.chown(os.path.join(place, name), NOBODY, -1)
    return World(path, FakeClock())


def fds() -> set[str]:
    """The descriptors that this process has open."""
    return set(os.listdir("/proc/self/fd"))


def plain_name(at_ms: int = 0, priority: int = 5, attempt: int = 0, *, number: int = 0) -> str:
    """A well-formed name of a job that nobody submitted."""
    from workqueue.jobs.ids import encode

    return f"{priority}-{encode((at_ms << 80) + number)}-{attempt}"
