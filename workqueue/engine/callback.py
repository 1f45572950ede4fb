"""Callbacks: what a batch is to submit when its last member has ended; written down when the batch is made.

Everything that can be refused (a queue that is not there, a payload that is no JSON) is refused then. Durations count
from the moment at which the callback is submitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.engine.newjob import new_job
from workqueue.errors import BadPayload, BadSetting
from workqueue.jobs.content import encode_json
from workqueue.jobs.durations import seconds, shown_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workqueue.clock import Clock
    from workqueue.engine.newjob import Wishes
    from workqueue.engine.protocol import NewJob
    from workqueue.engine.root import Root

DURATIONS = ("delay", "timeout", "expires", "keep")
NOT_FOR_CALLBACKS = ("key", "key_for")


class Call(msgspec.Struct, omit_defaults=True):
    """One callback: a job, but for what the batch will have come to."""

    queue: str
    payload: msgspec.Raw
    wishes: dict[str, Any] = {}
    """As `new_job` takes them; durations in seconds."""
    due: int | None = None
    """Of one that was given a time: ms since the epoch."""

    def job(self, clock: Clock) -> NewJob:
        """The job, without its payload."""
        job = new_job(clock, self.queue, self._wishes())
        job.due = self.due or job.due
        return job

    def _wishes(self) -> Wishes:
        wishes: Any = self.wishes
        return wishes  # type: ignore[no-any-return]


class Plan(msgspec.Struct, omit_defaults=True):
    """What is known of a batch from its beginning."""

    callback: str
    """The id that the callback will have: one, whichever it is, and whoever submits it."""
    at: int
    """When the batch was made: ms since the epoch."""
    label: str = ""
    on_done: Call | None = None
    on_failed: Call | None = None

    def call(self, *, all_done: bool) -> Call | None:
        """The callback that is due."""
        return self.on_done if all_done or self.on_failed is None else self.on_failed

    def encode(self) -> bytes:
        """As it is written down."""
        return msgspec.json.encode(self) + b"\n"


_decoder = msgspec.json.Decoder(Plan)


def read(root: Root, path: str) -> Plan:
    """The plan of the batch in this directory."""
    return _decoder.decode(root.fs.read(f"{path}/batch"))


def checked(root: Root, queue: str, payload: object, wishes: Mapping[str, Any]) -> Call:
    """Return a callback that can be submitted whenever its time comes; raises for one that could not."""
    if odd := [name for name in NOT_FOR_CALLBACKS if wishes.get(name) is not None]:
        raise BadSetting(f"{odd[0]}: not for a callback, which is submitted once anyway")
    given: Any = {name: value for name, value in wishes.items() if value is not None}
    due = new_job(root.clock, queue, given).due
    root.space(queue, "new")
    data = encode_json(payload, "callback payload")
    limit = root.settings(queue).max_payload
    if len(data) > limit // 2:
        raise BadPayload(
            f"callback: its payload has {shown_size(len(data))}, and half of max_payload of queue {queue!r}, which is"
            f" {shown_size(limit)}, is left for what the batch came to"
        )
    plain = {name: seconds(value, name) if name in DURATIONS else value for name, value in given.items()}
    is_fixed = plain.pop("at", None) is not None
    plain = msgspec.json.decode(encode_json(plain, "callback"))
    return Call(queue, msgspec.Raw(data), plain, due if is_fixed else None)
