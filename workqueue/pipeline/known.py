"""What a root knows of the pipelines that were run in it: ``.fsq/pipelines/NAME``, the names of their stages.

So that no job waits for ever in the queue of a stage that is no more, and no two pipelines take each other's jobs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from workqueue.engine import lookup
from workqueue.engine.root import PIPELINES, QUEUE_NAME
from workqueue.errors import BadPipeline, BadSetting, told
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from workqueue.engine.root import Root
    from workqueue.pipeline.plans import Plan

WAITING = (State.NEW, State.LATER, State.CUR, State.HELD)


class Known(msgspec.Struct):
    """A pipeline, as it was when it was last started."""

    stages: list[str]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written down when the pipeline starts."""

    is_new: bool
    gone: tuple[str, ...]
    """Stages that are no more, and have no jobs."""


def compare(root: Root, plan: Plan) -> Change:
    """Raise BadPipeline where jobs wait for a stage that is gone, or a stage is another pipeline's; change nothing."""
    others = {name: found for name in names(root) if name != plan.name and (found := load(root, name))}
    mine = load(root, plan.name)
    gone = [stage for stage in mine.stages if stage not in plan.queues] if mine else []
    waiting = {stage: count for stage in gone if (count := jobs_of(root, stage))}
    problems = [
        f"pipeline {plan.name!r} has no stage {stage!r} any more, but {many(count)} in its queue: bring the stage back,"
        f" or run them (fsq worker -q {stage} --handler …), or end them (fsq cancel --all new -q {stage})"
        for stage, count in waiting.items()
    ]
    problems += [
        f"stage {stage!r} of pipeline {plan.name!r} is a stage of pipeline {name!r} in {root.path}, too: rename one of"
        f" them; or, if {name!r} is no more, remove {path_of(root, name)}"
        for name, other in others.items()
        for stage in plan.queues
        if stage in other.stages
    ]
    if problems:
        raise BadPipeline(*problems)
    return Change(mine is None or sorted(mine.stages) != sorted(plan.queues), tuple(gone))


def write(root: Root, plan: Plan) -> None:
    """Write down the stages; durable."""
    with told("write down the pipeline's stages", path_of(root, plan.name)):
        root.fs.ensure_dir(root.dot(PIPELINES))
        root.fs.publish(path_of(root, plan.name), msgspec.json.encode(Known(list(plan.queues))) + b"\n")


def names(root: Root) -> list[str]:
    """The pipelines that were run here."""
    try:
        found = root.fs.list(root.dot(PIPELINES))
    except FileNotFoundError:
        return []
    return sorted(name for name in found if QUEUE_NAME.fullmatch(name))


def load(root: Root, name: str) -> Known | None:
    """A pipeline's stages as they were; None if it never ran here."""
    path = path_of(root, name)
    try:
        return msgspec.json.decode(root.fs.read(path), type=Known)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadSetting(f"{path}: damaged: it has the stages of pipeline {name!r}; remove it to start anew") from None


def path_of(root: Root, name: str) -> str:
    """Where a pipeline's stages are written down."""
    return root.dot(PIPELINES, name)


def jobs_of(root: Root, queue: str) -> int:
    """How many jobs a queue has that have not ended; none if there is no such queue."""
    if not os.path.isdir(f"{root.path}/{queue}/{State.NEW}"):
        return 0
    return sum(1 for state in WAITING for _ in lookup.entries(root, queue, state))


def many(count: int) -> str:
    """So many jobs wait."""
    return f"{count} jobs wait" if count > 1 else "1 job waits"
