"""What the doctor finds: one thing that is not as it should be, what that means for jobs, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from workqueue.errors import FsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Thing = TypeVar("Thing")

SHOWN = 3
"""Names that a message tells; of more it tells how many."""


class Level(StrEnum):
    """How bad it is."""

    PROBLEM = "problem"
    """Jobs wait or are at risk, or workers cannot work well."""
    NOTE = "note"
    """It costs space or order only, or is as somebody wanted it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    level: Level
    path: str
    message: str
    """What was found, and what it means for jobs."""
    remedy: str
    repair: Callable[[], object] | None = field(default=None, compare=False)
    """Safe beside workers and producers: it judges again before it changes anything. Raises what it met."""
    check: str = ""
    fixed: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells whether a later look has found the same thing."""
        return self.check, self.path, self.remedy


def problem(path: str, message: str, remedy: str, repair: Callable[[], object] | None = None) -> Finding:
    """A finding that matters to jobs."""
    return Finding(Level.PROBLEM, path, message, remedy, repair)


def note(path: str, message: str, remedy: str, repair: Callable[[], object] | None = None) -> Finding:
    """A finding that does not."""
    return Finding(Level.NOTE, path, message, remedy, repair)


def each(change: Callable[[Thing], object], things: Iterable[Thing]) -> Callable[[], None]:
    """A repair of several things: one that cannot be changed does not stop the others."""

    def repair() -> None:
        trouble: Exception | None = None
        for thing in things:
            try:
                change(thing)
            except (OSError, FsqError) as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble

    return repair


def some(names: Sequence[str]) -> str:
    """The first few names, in order, and how many more there are."""
    shown = ", ".join(sorted(names)[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def many(count: int, one: str, more: str = "") -> str:
    """A number with its noun."""
    return f"{count} {one if count == 1 else more or one + 's'}"
