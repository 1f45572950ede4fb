"""The states of a job and the verbs between them. A state is a directory, so `ls` tells the truth.

                         claim                finish
     submit ─────▶ new ─────────▶ cur ──────────────────▶ done, or gone
                  ▲ ▲ ▲            │ │
          promote │ │ │ hold,      │ └──── fail ────────▶ failed ──▶ retry, prune
                  │ │ ▼ unhold     │
     submit ▶ later │ held         ├────── corrupt ─────▶ corrupt ─▶ retry, prune
       (delay)  ▲   │              │
                │   └── release, recover
                └────── defer ─────┘            cancel: from new, later, held, cur

One verb per arrow, one rename per verb. The same words stand in the code, the command line and the documentation; an
event is the verb's past participle.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a job is; the value is the directory's name."""

    NEW = "new"
    LATER = "later"
    CUR = "cur"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    CORRUPT = "corrupt"


SPACES = ("tmp", *(state.value for state in State if state is not State.NEW), State.NEW.value)
"""The spaces of a queue's FileStore. ``new`` is made last: a directory with it is a queue."""

ENDED = frozenset({State.DONE, State.FAILED, State.CORRUPT})
"""States that a job leaves only by an operator's hand or its age."""

SEARCHED = (
    State.HELD,
    State.LATER,
    State.NEW,
    State.CUR,
    State.DONE,
    State.FAILED,
    State.CORRUPT,
)
"""The order in which a job is looked for: that in which jobs move, so that one which moves meanwhile is met later."""


class Arrow(NamedTuple):
    """A verb, and the states between which it moves a job; None is "not there"."""

    verb: str
    sources: tuple[State | None, ...]
    targets: tuple[State | None, ...]


ARROWS = {
    arrow.verb: arrow
    for arrow in (
        Arrow("submit", (None,), (State.NEW, State.LATER)),
        Arrow("claim", (State.NEW,), (State.CUR,)),
        Arrow("promote", (State.LATER,), (State.NEW,)),
        Arrow("finish", (State.CUR,), (State.DONE, None)),
        Arrow("defer", (State.CUR,), (State.LATER,)),
        Arrow("fail", (State.CUR,), (State.FAILED,)),
        Arrow("corrupt", (State.CUR,), (State.CORRUPT,)),
        Arrow("release", (State.CUR,), (State.NEW,)),
        Arrow("recover", (State.CUR,), (State.NEW, State.FAILED, State.LATER)),
        Arrow("hold", (State.NEW, State.LATER), (State.HELD,)),
        Arrow("unhold", (State.HELD,), (State.NEW,)),
        Arrow("retry", (State.FAILED, State.CORRUPT, State.LATER), (State.NEW,)),
        Arrow("cancel", (State.NEW, State.LATER, State.HELD, State.CUR), (None,)),
        Arrow("prune", (State.DONE, State.FAILED, State.CORRUPT), (None,)),
    )
}


def takes_from(verb: str, state: State) -> bool:
    """Whether `verb` can take a job out of `state`."""
    return state in ARROWS[verb].sources
