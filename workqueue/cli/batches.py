"""fsq stats --batch, fsq wait --batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from workqueue.batch import BatchRef
from workqueue.cli.app import SHORTEST_END
from workqueue.cli.output import print_json, print_rows
from workqueue.engine import outcome
from workqueue.errors import BadSetting, NoSuchBatch
from workqueue.jobs import names

if TYPE_CHECKING:
    from workqueue.batch import BatchCounts
    from workqueue.engine.directory import DirectoryEngine

SOME_NOT_DONE = 3
COLUMNS = ("total", "open", "done", "failed", "cancelled", "corrupt", "gone")


def find_batch(engine: DirectoryEngine, text: str) -> BatchRef:
    """The batch of an id, or of the unique end of one."""
    wanted = text.strip().upper()
    if names.is_id(wanted):
        return BatchRef(engine, wanted)
    if len(wanted) < SHORTEST_END or not wanted.isalnum():
        raise BadSetting(f"batch id {text!r}: 26 characters, or the last {SHORTEST_END} or more of them")
    ending = [batch for batch in outcome.ids(engine.root) if batch.endswith(wanted)]
    if not ending:
        raise NoSuchBatch(f"no batch ends in {wanted}: over and not kept any more (keep_batches), or never here")
    if len(ending) > 1:
        raise BadSetting(f"{len(ending)} batches end in {wanted}; give more of the id")
    return BatchRef(engine, ending[0])


def print_batch(ref: BatchRef, counts: BatchCounts, *, as_json: bool) -> None:
    """Print what a batch has come to."""
    if as_json:
        print_json({"batch": ref.id, **msgspec.to_builtins(counts)})
        return
    state = "over" if counts.ended else "open"
    numbers = [getattr(counts, name) for name in COLUMNS]
    row = [ref.id, state, *numbers, counts.label, counts.callback, counts.queue]
    print_rows(["batch", "state", *COLUMNS, "label", "callback", "queue"], [row])


def wait_for_batch(ref: BatchRef, timeout: str | None, *, as_json: bool) -> int:
    """Wait until a batch is over, and print it; returns the exit status."""
    counts = ref.wait(timeout)
    print_batch(ref, counts, as_json=as_json)
    return 0 if counts.all_done else SOME_NOT_DONE
