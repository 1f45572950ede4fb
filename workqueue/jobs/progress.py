"""Progress: what a run last told of how far it has come. For people to look at; nothing is decided from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.jobs.durations import spoken
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from workqueue.jobs.names import Name

SILENCE = 10.0
"""Seconds without a word after which it is said how old the last one is."""
LONGEST_UNIT = 40


class Progress(msgspec.Struct, omit_defaults=True, frozen=True):
    """What ``job.progress`` and ``job.count`` have told."""

    run: str
    """The SLOT.RUN of the claim's name: no other run has it."""
    attempt: int
    at: int
    """Milliseconds since the epoch."""
    seconds: float
    """How long the run had gone on."""
    done: int | float | None = None
    total: int | float | None = None
    unit: str = ""
    rate: float | None = None
    """Units a second, since the run began or went on from a checkpoint."""
    counts: dict[str, int | float] = {}

    def is_of(self, name: Name, state: State) -> bool:
        """Whether this is told by the run that goes on, or by the last one of a job that does not run."""
        if state is State.CUR:
            return name.owner is not None and self.run == run_of(name)
        return self.attempt == name.attempt

    def percent(self) -> float | None:
        """How much of all is done."""
        return 100 * self.done / self.total if self.done is not None and self.total else None

    def to_go(self, now_ms: int) -> float | None:
        """Seconds until all is done, if it goes on like this."""
        if self.done is None or self.total is None or not self.rate:
            return None
        return max(0.0, (self.total - self.done) / self.rate - self.age(now_ms))

    def age(self, now_ms: int) -> float:
        """Seconds since it was told."""
        return max(0.0, (now_ms - self.at) / 1000)

    def text(self, now_ms: int, *, running: bool) -> str:
        """For people: ``40/100 rows, 40 %, 12/s, 5 s to go``."""
        parts = []
        if self.done is not None:
            of = f"/{shown(self.total)}" if self.total is not None else ""
            parts.append(f"{shown(self.done)}{of} {self.unit}".rstrip())
        percent, to_go = self.percent(), self.to_go(now_ms)
        if percent is not None:
            parts.append(f"{percent:.0f} %")
        if running and self.rate:
            parts.append(f"{self.rate:.3g}/s")
        if running and to_go is not None:
            parts.append(f"{spoken(round(to_go, 1))} to go")
        if running and self.age(now_ms) >= SILENCE:
            parts.append(f"told {spoken(round(self.age(now_ms)))} ago")
        return ", ".join(parts)

    def facts(self, now_ms: int, *, running: bool) -> dict[str, Any]:
        """For programs."""
        to_go = self.to_go(now_ms) if running else None
        return {
            "attempt": self.attempt, "done": self.done, "total": self.total, "unit": self.unit,
            "percent": rounded(self.percent()), "rate": rounded(self.rate), "to_go": rounded(to_go),
            "seconds": rounded(self.seconds), "age": rounded(self.age(now_ms)),
        }  # fmt: skip


_decoder = msgspec.json.Decoder(Progress)


def decode(data: bytes) -> Progress | None:
    """Read what was told; None for what is torn."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return None


def run_of(name: Name) -> str:
    """The part of a claim's name that no other run has."""
    assert name.owner is not None
    return f"{name.owner.slot}.{name.owner.run}"


def shown(number: float) -> str:
    """A number as people write it."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.6g}"


def rounded(number: float | None) -> float | None:
    """To as many digits as mean something."""
    return None if number is None else round(number, 3)
