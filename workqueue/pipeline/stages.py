"""Stages: what a pipeline is made of; and `To`, for a payload that goes to one of them alone."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from workqueue.engine.newjob import NOTHING
from workqueue.engine.settings import read, suggestion, whole
from workqueue.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from workqueue.pipeline.stage_program import StageProgram


class Wishes(TypedDict, total=False):
    """What a stage asks for."""

    source: bool
    workers: int
    limit: int | None
    max_attempts: int | None
    backoff: str | None
    timeout: str | float | timedelta | None
    keep_done: str | float | timedelta | None
    reject_limit: int | str | None


JOB = "job"
"""A parameter of this name gets the job itself."""
SETTINGS = ("max_attempts", "backoff", "timeout", "keep_done", "reject_limit")
"""What a stage may say of its jobs."""


class To:
    """A payload for one queue alone, with wishes: ``yield To("audit", row, priority=2, key="a:7")``.

    The queue is one of the stage's next ones, or no stage of its pipeline; the wishes are those of `job.submit`,
    `file` and `mode` included.
    """

    __slots__ = ("payload", "queue", "wishes")

    def __init__(self, queue: str, payload: Any = NOTHING, **wishes: Any) -> None:
        self.queue = queue
        self.payload = payload
        self.wishes = wishes

    def __repr__(self) -> str:
        return f"To({self.queue!r}, {self.payload!r})"

    def __eq__(self, other: object) -> bool:
        """Equal in all: so the test of a stage can compare what it yields."""
        mine = (self.queue, self.payload, self.wishes)
        return isinstance(other, To) and mine == (other.queue, other.payload, other.wishes)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Stage:
    """One step: a function or a program, the queue of its name, and what holds for its jobs."""

    name: str
    function: Callable[..., Any] | None = None
    program: StageProgram | None = None
    """Instead of a function."""
    to: tuple[str, ...] = ()
    is_source: bool = False
    workers: int = 0
    limit: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    """The place of its declaration, for a message."""

    @property
    def next(self) -> tuple[str, ...]:
        """Where a plain yield goes: to the next stages, but not back to this one."""
        return tuple(name for name in self.to if name != self.name)


def checked(stage: str, wishes: Mapping[str, object]) -> dict[str, Any]:
    """The wishes as a stage has them; raises BadSetting. What they say of jobs stays as it is: plain values."""
    given: dict[str, Any] = {name: value for name, value in wishes.items() if value is not None}
    is_source, workers, limit = given.pop("source", False), given.pop("workers", 0), given.pop("limit", None)
    workers = whole(workers, "workers") if workers != 0 else 0
    limit = None if limit is None else whole(limit, "limit")
    if limit is not None and workers > limit:
        raise BadSetting(f"{stage}: workers={workers} are more than its limit={limit}")
    for name in given:
        if name not in SETTINGS:
            raise BadSetting(
                f"{stage}: a stage takes no {name!r}{suggestion(name, [*SETTINGS, 'workers', 'limit', 'source'])}"
            )
    read(given, stage)
    seconds_of = {name: value.total_seconds() for name, value in given.items() if isinstance(value, timedelta)}
    settings = {**given, **seconds_of}
    return {"is_source": bool(is_source), "workers": workers, "limit": limit, "settings": settings}


def next_stages(to: str | Iterable[str]) -> tuple[str, ...]:
    """The names of the next stages, each once; one may be given as it is."""
    return (to,) if isinstance(to, str) else tuple(dict.fromkeys(to))


def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """What a stage's function is to be called with: payload, job, or both; raises TypeError for any other.

    One parameter is the payload, or the job if it is called so; a second one is the job, unless it has a default of
    its own and another name.
    """
    placed: list[str] = []
    for one in inspect.signature(function).parameters.values():
        if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}:
            if one.default is one.empty or one.name == JOB:
                placed.append(one.name)
        elif one.kind is one.KEYWORD_ONLY and one.default is one.empty:
            raise TypeError(f"nobody gives it {one.name!r}")
    if not placed or len(placed) > 2 or (len(placed) == 2 and placed[0] == JOB):  # noqa: PLR2004
        raise TypeError(f"it takes {', '.join(placed) or 'nothing'}")
    if len(placed) == 1:
        return (JOB,) if placed[0] == JOB else ("payload",)
    return ("payload", JOB)


def called_from() -> str:
    """Where our caller was called, for a message."""
    here = inspect.currentframe()
    caller = here.f_back.f_back if here is not None and here.f_back is not None else None
    return f" ({caller.f_code.co_filename}, line {caller.f_lineno})" if caller is not None else ""
