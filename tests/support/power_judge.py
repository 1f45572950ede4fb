"""What a log said before a power cut and after it, and what must not be.

It lies outside the file system that is cut. Producers tell it what was acknowledged, handlers what they did.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from workqueue.jobs.states import State

Told = dict[str, set[str]]
"""What the log says: a word (acknowledged, ended, cancelling, cancelled, held, torn, parent) → ids; and of each child
that was run `child` → its parent's id and its own."""


def tell(path: str, word: str, *ids: str) -> None:
    """Append a line, in one write."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, f"{word} {' '.join(ids)}\n".encode())
    finally:
        os.close(fd)


def read(path: str) -> Told:
    """What a log says."""
    told = defaultdict[str, set[str]](set)
    for line in Path(path).read_text(encoding="ascii").splitlines():
        word, *ids = line.split()
        if word == "ended":
            told["ended twice"].update(told["ended"].intersection(ids))
        told[word].update(ids)
    return told


def judge(told: Told, before: dict[str, list[State]], then: Told, after: dict[str, list[State]]) -> list[str]:
    """What should not be: `told` by the log at the cut, `before` the drain, `then` told by it, `after` it."""
    must = told["acknowledged"] - told["ended"] - told["cancelling"]
    ran = then["ended"]
    still = {job_id for job_id, states in after.items() if set(states) & {State.NEW, State.CUR, State.CORRUPT}}
    waiting = {job_id for job_id, states in after.items() if states}
    return [
        *(f"job {job_id} is lost" for job_id in sorted(must - before.keys())),
        *(
            f"job {job_id} is in {' and '.join(states)}"
            for job_id, states in after.items()
            # A hold that the cut interrupted is settled when the job is due, which is after this drain.
            if len(states) > 1 and set(states) != {State.LATER, State.HELD}
        ),
        *(f"job {job_id} was run twice" for job_id in then["ended twice"]),
        *(f"job {job_id} was cancelled and is back" for job_id in sorted(told["cancelled"] & before.keys())),
        *(f"job {job_id} was held and is not" for job_id in told["held"] if before.get(job_id) != [State.HELD]),
        *(f"job {job_id} was run torn" for job_id in then["torn"]),
        *(f"job {job_id} is left in {after[job_id]}" for job_id in still),
        *(f"job {job_id} was not run" for job_id in must - ran - waiting),
    ]


def judge_children(told: Told, then: Told, after: dict[str, list[State]]) -> list[str]:
    """What should not be: each job that ended well has handed one child over, and no other has, however often it ran."""
    came = children(told, then)
    known = {*came, *(told["parent"] & told["acknowledged"])}
    return [
        f"job {job_id}, which is {' and '.join(after.get(job_id, [])) or 'gone'}, has handed over {sorted(came[job_id])}"
        for job_id in sorted(known)
        if len(came[job_id]) != (0 if job_id in after else 1)
    ]


def children(*tales: Told) -> defaultdict[str, set[str]]:
    """The children that were run, by their parents."""
    found = defaultdict[str, set[str]](set)
    for told in tales:
        for pair in told["child"]:
            parent, child = pair.split(":")
            found[parent].add(child)
    return found
