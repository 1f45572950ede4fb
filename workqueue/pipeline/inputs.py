"""Inputs: what jobs are made of, submitted one after another, each told as soon as it is safe.

Without keys and files they go in batches that are all or nothing; with them one by one, for a key is taken alone.
"""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import tee
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.newjob import NOTHING
from workqueue.engine.root import Root
from workqueue.errors import BadInput
from workqueue.jobs.states import State
from workqueue.pipeline.copies import copied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from workqueue.producer import Producer

LIVING = (State.CUR, State.NEW, State.LATER, State.HELD)


@dataclass(frozen=True, slots=True)
class Input:
    """What one job is made of."""

    what: str
    """For people: the file, the piece, the partition."""
    payload: Any = NOTHING
    file: str | None = None
    piece: Mapping[str, Any] | None = None
    """A range of a file that is copied to be the payload."""
    key: str | None = None
    label: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More about it, for programs."""


class Placed(NamedTuple):
    """What became of an input; not `created` if its key was taken, by the job of this id."""

    input: Input
    id: str
    created: bool


def checked_keys(inputs: Iterable[Input]) -> Iterator[Input]:
    """The inputs; two of one key are refused, for the second would never be a job."""
    known: dict[str, str] = {}
    for each in inputs:
        if each.key is not None:
            other = known.setdefault(each.key, each.what)
            if other != each.what:
                raise BadInput(f"key {each.key!r}: the same for {other} and {each.what}; put a {{name}} into it")
        yield each


def submit(
    producer: Producer,
    inputs: Iterable[Input],
    on_placed: Callable[[Sequence[Placed]], object],
    *,
    batches: bool,
    queue: str,
    mode: Literal["move", "link", "copy"] = "copy",
    key_for: str | None = None,
    again: bool = False,
    label: str = "",
    headers: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Submit each input; `batches`: none has a key or a file, so that they go a thousand at a time."""
    if batches:
        _submit_batches(producer, inputs, on_placed, queue=queue, label=label, headers=headers, **options)
        return
    root = Root(producer.root)
    for each in inputs:
        with _file_of(root, queue, each) as file:
            ref = producer.submit(
                each.payload, queue=queue, file=file, mode="move" if each.piece else mode, label=label or each.label,
                key=each.key, key_for=key_for, again=again, headers=_headers(headers, each), **options,
            )  # fmt: skip
        on_placed([Placed(each, ref.id, ref.created)])


def _file_of(root: Root, queue: str, each: Input) -> AbstractContextManager[str | None]:
    return nullcontext(each.file) if each.piece is None else copied(root, queue, each.piece)


def _headers(headers: Mapping[str, Any] | None, each: Input) -> Mapping[str, Any] | None:
    """A copied piece says beside its payload where it comes from."""
    return headers if each.piece is None else {**(headers or {}), "piece": dict(each.piece)}


def _submit_batches(
    producer: Producer,
    inputs: Iterable[Input],
    on_placed: Callable[[Sequence[Placed]], object],
    *,
    label: str,
    **options: Any,
) -> None:
    taken: deque[Input] = deque()
    for_payloads, for_labels = tee(inputs)

    def payloads() -> Iterator[Any]:
        for each in for_payloads:
            taken.append(each)
            yield each.payload

    def told(ids: Sequence[str]) -> None:
        on_placed([Placed(taken.popleft(), job_id, created=True) for job_id in ids])

    labels = (label or each.label for each in for_labels)
    producer.submit_many(payloads(), labels=labels, on_batch=told, **options)


def whereabouts(producer: Producer, queue: str, ids: set[str]) -> tuple[int, int, int]:
    """How many of these jobs wait or run, have failed, and have ended otherwise; a look at what goes on meanwhile."""
    engine = DirectoryEngine(Root(producer.root))
    failed = {found.name.id for found in engine.scan(queue, State.FAILED)} & ids
    living = {found.name.id for state in LIVING for found in engine.scan(queue, state)} & ids - failed
    return len(living), len(failed), len(ids) - len(living) - len(failed)
