"""What fsq ls and fsq show tell of arrays, and of their elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workqueue.cli.app import find_job
from workqueue.errors import BadSetting
from workqueue.jobs import arrays
from workqueue.jobs.content import Damaged
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Located
    from workqueue.jobs.arrays import Tally

HEAD = 4096
"""Bytes of a job that are read to see whether it may be an array."""
WORDS = {
    arrays.TO_DO: "to do",
    arrays.ENDED: "ended",
    arrays.STAGED: "ended; what it handed over appears with the array's end",
    arrays.BLAMED: "its worker died in it: it becomes a job of its own",
    arrays.SPLIT: "failed: it becomes a job of its own with the array's end",
}


def tally_of(engine: DirectoryEngine, found: Located) -> Tally | None:
    """How far a job has come that is an array; None if it is none."""
    try:
        head = engine.root.fs.read(found.path, HEAD).partition(b"\n")[0]
        count = engine.load(found).options.array if b'"array":' in head and not found.name.whole else None
    except (OSError, Damaged):
        return None
    return None if count is None else engine.tally(found.name.id, count, running=found.state is State.CUR)


def facts_of(tally: Tally | None) -> dict[str, int] | None:
    """The same, as JSON."""
    return None if tally is None else tally._asdict()


def find_element(engine: DirectoryEngine, text: str) -> tuple[Located, int | None]:
    """The job of an id, or the array of ID.INDEX and the index."""
    address = arrays.address(text.strip())
    if address is None:
        return find_job(engine, text), None
    found = find_job(engine, address[0])
    tally = tally_of(engine, found)
    if tally is None:
        raise BadSetting(f"{text}: job {found.name.id} is no array, and has no elements")
    if address[1] >= tally.elements:
        raise BadSetting(f"{text}: the array has {tally.elements} elements, from 0 to {tally.elements - 1}")
    return found, address[1]


def element_facts(engine: DirectoryEngine, found: Located, index: int) -> dict[str, Any]:
    """What is known of one element."""
    claim = engine.load(found)
    line = arrays.lines(claim.options, engine.body(claim))[index]
    mark = engine.mark_of(found.name.id, index)
    if found.state is not State.CUR:
        mark = arrays.still_to_do(mark)
    try:
        payload = arrays.decode(line)
    except Damaged as error:
        payload = f"({error})"
    return {
        "id": f"{found.name.id}.{index}",
        "queue": found.queue,
        "array_state": found.state.value,
        "element": WORDS.get(mark, WORDS[arrays.TO_DO]),
        "payload": payload,
    }
