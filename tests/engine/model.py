"""What a queue must be: of each job, where it may be.

A verb that was carried out leaves its job one place. One whose actor died within it leaves two or more, until `look`
compares them with the disk. It looks by hand, at directories and inodes: a job keeps its file, and its file its bytes.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from engine.worlds import Q
from workqueue.engine import keys, lookup, slots
from workqueue.jobs import names
from workqueue.jobs.content import MAGIC
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from engine.worlds import World
    from workqueue.engine.protocol import Located

LIVING = frozenset({State.NEW, State.LATER, State.CUR, State.HELD})
TRIES = 5
"""Attempts that a job has if it does not say."""


class Place(NamedTuple):
    """Where a job is. Of one that is gone, why; None as `due` is any time."""

    state: State | None
    attempt: int = 0
    due: int | None = None
    end: str = ""

    def __str__(self) -> str:
        return f"{self.state} ({self.attempt} attempts)" if self.state else self.end

    def matches(self, found: Place) -> bool:
        return self.state == found.state and self.attempt == found.attempt and self.due in {None, found.due}


NEVER = Place(None, end="never submitted")


class Ban(NamedTuple):
    """The key of an ended job that stays taken."""

    id: str
    until: int
    """In whole seconds, as late as may be."""


@dataclass(eq=False)
class Known:
    """A job, or a foreign thing (whose payload is None)."""

    payload: bytes | None
    may: set[Place]
    key: str | None = None
    key_for: float | None = None
    max_attempts: int | None = None
    keep: float | None = None
    id: str = ""
    inode: int = 0
    content: bytes | None = None
    path: str = ""
    found: str = ""
    """Where the engine found it last."""
    marked: set[bool] = field(default_factory=lambda: {False})
    sight: Located | None = None
    """What an operator saw of it, some time ago."""

    @property
    def place(self) -> Place:
        (place,) = self.may
        return place

    @property
    def lives(self) -> bool:
        return any(place.state in LIVING for place in self.may)

    def goes(self, place: Place, *, surely: bool) -> None:
        self.may = {place} if surely else {*self.may, place}

    def __repr__(self) -> str:
        return f"<{self.id or 'unnamed'} {self.payload!r} {' or '.join(map(str, self.may))}>"


class Model:
    """All jobs that were ever there, and the keys."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs: list[Known] = []
        self.bans: dict[str, set[Ban | None]] = defaultdict(lambda: {None})
        self.looks = 0
        self.debris = False  # whether somebody died who may have left something in tmp/

    def add(self, job: Known) -> Known:
        self.jobs.append(job)
        return job

    def of(self, *states: State) -> list[Known]:
        return [job for job in self.jobs if job.place.state in states]

    # -- what verbs do -----------------------------------------------------------------------------------------

    def ends(self, job: Known, place: Place, *, surely: bool, linked: bool) -> None:
        """Live no longer; the key, if it was still `linked` to this job, goes free or is banned."""
        job.goes(place, surely=surely)
        if job.key and job.key_for and linked:
            ban = Ban(job.id, math.ceil(self.world.clock.now() + job.key_for))
            self.bans[job.key] = {ban} if surely else {ban, *self.bans[job.key]}

    def recovered(self, job: Known, *, surely: bool, linked: bool) -> None:
        attempt = job.place.attempt
        if job.payload is None:
            job.goes(Place(State.CORRUPT, attempt), surely=surely)
        elif True in job.marked:
            self.ends(job, Place(None, end="cancelled"), surely=surely, linked=linked)
            job.marked = {False} if surely else {False, True}
        elif attempt >= (job.max_attempts or TRIES):
            self.ends(job, Place(State.FAILED, attempt), surely=surely, linked=linked)
        else:
            job.goes(Place(State.NEW, attempt), surely=surely)

    def promoted(self, *, surely: bool) -> None:
        for job in self.of(State.LATER):
            if (job.place.due or 0) <= self.world.clock.now_ms():
                job.goes(Place(State.NEW, job.place.attempt), surely=surely)

    # -- keys --------------------------------------------------------------------------------------------------

    def key_inode(self, key: str) -> int:
        """The file that a key is a link of; 0 if there is none."""
        try:
            return os.stat(keys.key_path(self.world.root, Q, key)).st_ino
        except FileNotFoundError:
            return 0

    def linked(self, job: Known) -> bool:
        return job.key is not None and self.key_inode(job.key) == job.inode

    def holder(self, key: str) -> str | None:
        """The id of the job that has a key: it lives, or its submitter died before the rename, or it is banned."""
        for job in self.jobs:
            if job.key == key and job.lives:
                return job.id
        left = self.left_in_tmp(key)
        if left is not None:
            return left[0].id
        (ban,) = self.bans[key]
        return ban.id if ban and ban.until > self.world.clock.now() else None

    def ban_of(self, key: str) -> Ban | None:
        """The ban that is at a key; an ended job's own file is one, too, until it is replaced."""
        path = keys.key_path(self.world.root, Q, key)
        if not os.path.exists(path):
            return None
        content, until = content_of(path), math.ceil(os.stat(path).st_mtime)
        if content.startswith(keys.BAN):
            return Ban(json.loads(content)["fsq-ban"], until)
        ended = (job for job in self.jobs if job.key_for and job.content == content and not job.lives)
        bans = {Ban(job.id, until) for job in ended if content.startswith(MAGIC)}
        return next(iter(bans & self.bans[key]), None)

    def left_in_tmp(self, key: str) -> tuple[Known, Place] | None:
        """The job that has a key, and whose submitter died before its rename; and where the rename would put it."""
        inode = self.key_inode(key)
        for text in self.world.ls("tmp"):
            path, name = self.world.at("tmp", text), names.parse(text)
            if name is not None and os.lstat(path).st_ino == inode:
                (job,) = (each for each in self.jobs if each.key == key and entry_holds(path, each))
                job.id = name.id
                return job, Place(State.NEW) if name.due is None else Place(State.LATER, 0, name.due)
        return None

    # -- looking -----------------------------------------------------------------------------------------------

    def look(self, living: Collection[int]) -> None:
        """Compare with the disk; `living` are the slots whose workers live. Afterwards every job has one place."""
        seen: dict[Known, Place] = {}
        for state in State:
            for path in self.paths(state):
                job = self.job_of(path)
                assert job not in seen, f"{job} is in {seen[job].state} and in {state}"
                seen[job] = self.check_entry(job, state, path)
        for job in self.jobs:
            self.settle(job, seen.get(job, Place(None)))
        self.check_claims(living)
        self.check_keys()
        self.check_lookups()
        assert self.debris or self.world.ls("tmp") == [], "somebody who lives left something in tmp/"

    def paths(self, state: State) -> Iterator[str]:
        for text in self.world.ls(state):
            path = self.world.at(state, text)
            yield from (f"{path}/{name}" for name in os.listdir(path)) if names.is_batch(text) else [path]

    def job_of(self, path: str) -> Known:
        """Whose file this is; a job that was not seen before is known by its payload."""
        inode = os.lstat(path).st_ino
        job = next((job for job in self.jobs if job.inode == inode), None)
        if job is None:
            job = next((job for job in self.jobs if not job.inode and entry_holds(path, job)), None)
        assert job is not None, f"{path} is nobody's"
        job.inode = inode
        return job

    def check_entry(self, job: Known, state: State, path: str) -> Place:
        """Check what must hold of a file anywhere: its id, its bytes, a name that is a job's."""
        job.path = path
        name = names.parse(os.path.basename(path))
        if name is None:
            assert state is State.NEW, f"{path} is no job's name"
            return Place(state)
        if not job.id:
            assert name.id not in {other.id for other in self.jobs}, f"{name.id} was used before"
            job.id = name.id
        assert job.id == name.id
        if job.payload is not None:
            content = content_of(path)
            assert payload_of(content, whole=name.whole) == job.payload
            assert job.content in {None, content}, "content never changes"
            job.content = content
        due = names.due_of(os.path.relpath(path, self.world.at(state)))
        return Place(state, name.attempt, due if state is State.LATER else None)

    def settle(self, job: Known, found: Place) -> None:
        places = [place for place in job.may if place.matches(found)]
        assert places, f"{job} is in {found}"
        job.may = {found if found.state else max(places, key=lambda place: place != NEVER)}
        if found.state is None:
            job.path, job.inode = "", 0

    def check_claims(self, living: Collection[int]) -> None:
        """Each claim has a worker that lives, or can be recovered by whoever comes."""
        for job in self.of(State.CUR):
            name = names.parse(os.path.basename(job.path))
            assert name is not None
            assert name.owner is not None
            slot = slots.try_lock(self.world.root, name.owner.slot)
            if slot is not None:
                slot.close()
            assert (slot is None) == (name.owner.slot in living)

    def check_keys(self) -> None:
        """Each key has one living job, and is a link of its file; bans and orders are those that must be."""
        living = [job for job in self.jobs if job.key and job.lives]
        assert len({job.key for job in living}) == len(living), f"of one key: {living}"
        assert all(self.linked(job) for job in living)
        for key, may in self.bans.items():
            ban = self.ban_of(key)
            assert ban in may, f"{key}: {ban}, must be in {may}"
            self.bans[key] = {ban}
        ordered = self.world.dot("cancel")
        for job in self.jobs:
            assert (job.id in ordered) in job.marked, f"order to cancel {job}: {job.id in ordered}"
            job.marked = {job.id in ordered}

    def check_lookups(self) -> None:
        """The engine finds each job where it is, once, and none that is gone."""
        engine = self.world.engine
        self.looks += 1
        moved = [job for job in self.jobs if job.path != job.found]
        for job in (*moved, *self.jobs[self.looks % max(1, len(self.jobs)) :][:1]):
            if job.id:
                found = engine.find(job.id)
                job.found = found.path if found else ""
                assert job.found == job.path
        for state in State:
            assert sorted(found.path for found in engine.scan(Q, state)) == sorted(job.path for job in self.of(state))
        assert lookup.counts(self.world.root, Q) == {state: len(self.of(state)) for state in State}


def content_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def payload_of(content: bytes, *, whole: bool) -> bytes:
    """What a job's file carries; it must be whole."""
    if whole:
        return content
    line, end, payload = content.partition(b"\n")
    options = json.loads(line)
    assert (end, options["len"], options["crc"]) == (b"\n", len(payload), zlib.crc32(payload)), "not whole"
    return payload


def entry_holds(path: str, job: Known) -> bool:
    """Whether a file has a job's payload, which no other has."""
    return job.payload is not None and os.path.isfile(path) and content_of(path).rpartition(b"\n")[2] == job.payload
