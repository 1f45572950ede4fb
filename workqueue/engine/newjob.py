"""What a submit asks for, checked and made a NewJob: the same words for a producer and for a handler's children."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypedDict

from workqueue.engine.protocol import NewJob
from workqueue.engine.root import checked_queue
from workqueue.engine.settings import suggestion, whole
from workqueue.errors import BadInput, BadSetting
from workqueue.jobs import names
from workqueue.jobs.content import Options, encode_json, encode_payload
from workqueue.jobs.durations import moment, seconds
from workqueue.jobs.rejects import reject_limit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from workqueue.clock import Clock

    Duration = str | float | timedelta

NOTHING: Any = object()
"""No payload was given; None is one."""
MODES = ("move", "link", "copy")
ARRAY = 100
"""Elements of an array, unless told otherwise."""


class Wishes(TypedDict, total=False):
    """How a job is to be run, beyond its queue's settings."""

    delay: Duration | None
    at: datetime | str | None
    priority: int
    key: str | None
    key_for: Duration | None
    max_attempts: int | None
    timeout: Duration | None
    expires: Duration | None
    keep: Duration | None
    headers: Mapping[str, Any] | None
    reject_limit: int | str | None
    label: str


WISHES = list(Wishes.__annotations__)


def new_job(clock: Clock, queue: str, wishes: Wishes, *, durable: bool = True) -> NewJob:
    """Return a job without a payload; raises BadInput for what means nothing."""
    checked_queue(queue)
    if not wishes:
        return NewJob(queue, durable=durable)
    for unknown in sorted(wishes.keys() - set(WISHES)):
        raise BadSetting(f"submit takes no {unknown!r}{suggestion(unknown, WISHES)}")
    return NewJob(
        queue,
        priority=names.checked_priority(wishes.get("priority", names.DEFAULT_PRIORITY)),
        due=_due(clock, wishes.get("delay"), wishes.get("at")),
        label=wishes.get("label", ""),
        options=_options(clock, wishes),
        durable=durable,
    )


def new_array(clock: Clock, queue: str, wishes: Wishes, *, durable: bool = True) -> NewJob:
    """Return an array without its elements; it takes no key."""
    if wishes.get("key") is not None or wishes.get("key_for") is not None:
        raise BadSetting("an array takes no key; its elements are one job")
    return new_job(clock, queue, wishes, durable=durable)


def give(job: NewJob, payload: object, file: str | os.PathLike[str] | None, mode: str) -> None:
    """Give a job its payload: a value, or a file."""
    if (payload is NOTHING) == (file is None):
        raise BadInput("submit takes a payload or file=…, one of them")
    if file is None:
        job.payload, job.type = encode_payload(payload)
        return
    if mode not in MODES:
        raise BadSetting(f"mode {mode!r}: move, link or copy")
    if mode == "link" and job.options.key is not None:
        raise BadSetting("a job by link takes no key: its file has names of its own")
    path = os.fspath(file)
    job.file = os.path.abspath(path)
    job.mode = mode
    job.label = job.label or os.path.basename(path)


def _due(clock: Clock, delay: Duration | None, at: datetime | str | None) -> int | None:
    if delay is not None and at is not None:
        raise BadSetting("delay and at: give one of them")
    if at is not None:
        return moment(at, "at")
    if delay is None:
        return None
    wait = seconds(delay, "delay")
    return clock.now_ms() + int(wait * 1000) if wait else None


def _options(clock: Clock, wishes: Wishes) -> Options:
    attempts, expires = wishes.get("max_attempts"), wishes.get("expires")
    return Options(
        key=_key(wishes),
        key_for=_seconds(wishes, "key_for"),
        max_attempts=None if attempts is None else whole(attempts, "max_attempts"),
        timeout=_seconds(wishes, "timeout"),
        expires=None if expires is None else clock.now_ms() + int(seconds(expires, "expires") * 1000),
        keep=_seconds(wishes, "keep"),
        headers=_headers(wishes.get("headers")),
        reject_limit=_reject_limit(wishes.get("reject_limit")),
    )


def _key(wishes: Wishes) -> str | None:
    key = wishes.get("key")
    if key is None:
        if wishes.get("key_for") is not None:
            raise BadSetting("key_for: goes with key")
        return None
    if type(key) is not str or not key:
        raise BadSetting(f"key {key!r}: must be text, and not empty")
    encode_json(key, "key")
    return key


def _seconds(wishes: Wishes, name: str) -> float | None:
    value: Any = wishes.get(name)
    return None if value is None else seconds(value, name)


def _reject_limit(value: int | str | None) -> str | None:
    return None if value is None else str(reject_limit(value, "reject_limit"))


def _headers(headers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if headers is None:
        return None
    encode_json(dict(headers), "headers")
    return dict(headers)
