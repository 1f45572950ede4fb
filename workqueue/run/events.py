"""Events: what happened, by name, with fields. They go to stdlib logging; the library installs no handler.

An event's name is its verb's past participle. `LogLine` makes a line for people of it, `JsonLine` a JSON object.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from workqueue.jobs.durations import spoken
from workqueue.run.printable import encodable, visible

LOGGER = logging.getLogger("workqueue")

EVENTS: dict[str, tuple[int, str]] = {
    "started": (logging.INFO, "{workers} on {queues} in {root}"),
    "finished": (logging.DEBUG, "{job} finished in {took}"),
    "retried": (logging.WARNING, "{job} attempt {attempt}/{max_attempts} failed: {error}; again in {delay}"),
    "failed": (logging.ERROR, "{job} failed after {attempt} of {max_attempts} attempts: {error} (fsq show {id})"),
    "snoozed": (logging.INFO, "{job} put off for {delay}: {error}"),
    "cancelled": (logging.INFO, "{job} cancelled"),
    "corrupted": (logging.ERROR, "{queue}: moved aside to corrupt/{name}: {reason}"),
    "vanished": (logging.WARNING, "{job} was gone from cur/ when its run ended: moved or removed by hand"),
    "recovered": (logging.WARNING, "{job} attempt {attempt}: {error}; now in {state}"),
    "released": (logging.INFO, "{job} given back, the attempt is not charged"),
    "unclaimable": (logging.ERROR, "{queue}: {name!r} in new/ cannot be moved and is skipped: {reason}"),
    "worker died": (logging.WARNING, "worker {worker} died: {how}"),
    "worker ended": (logging.DEBUG, "worker {worker} ended: {how}"),
    "run ended": (logging.WARNING, "{job}: {reason}; worker {worker} is killed"),
    "paused": (logging.INFO, "paused; SIGCONT goes on"),
    "resumed": (logging.INFO, "going on"),
    "stopping": (logging.INFO, "stopping: {running} running, {grace} to finish; once more to end them now"),
    "restarting": (logging.INFO, "restarting when {running} running jobs have finished"),
    "polling": (logging.WARNING, "no wake-ups ({reason}); looking for jobs every {interval} instead"),
    "importing": (logging.INFO, "importing the handler started threads, so every worker imports it by itself"),
    "forgotten": (logging.INFO, "{pipeline} has no stage {stage} any more; its queue is empty, and not looked after"),
    "trouble": (logging.ERROR, "{text}"),
    "dropped": (
        logging.WARNING,
        "lines that the journal lacks: {count} ({reason}); jobs go on",
    ),
    "drained": (logging.INFO, "drained: {summary}"),
    "stopped": (logging.INFO, "stopped: {summary}"),
}
BY_HAND: dict[str, tuple[int, str]] = {
    "submitted": (logging.INFO, "{job} submitted"),
    "retried by hand": (logging.INFO, "{job} made ready again by {by}"),
    "cancelled by hand": (logging.INFO, "{job} cancelled by {by}; it was in {state}"),
    "cancel ordered": (logging.INFO, "{job} is to be cancelled, by {by}; it was running"),
    "held by hand": (logging.INFO, "{job} held back by {by}; it was in {state}"),
    "unheld by hand": (logging.INFO, "{job} let go by {by}, and ready"),
    "removed": (logging.INFO, "{job} removed from {state} by {by}"),
}
"""Events that only the journal has: they happen in no worker."""
WIPE = "\r\x1b[J"
"""Wipes a terminal's line, and those below it."""
ALL_EVENTS = {**EVENTS, **BY_HAND}
DURATIONS = {"took", "delay", "grace", "interval"}


class Recorder(Protocol):
    """What keeps events: the journal of a supervisor, or of a worker."""

    def add(self, event: str, fields: dict[str, Any]) -> None: ...


def emit(event: str, journal: Recorder | None = None, /, **fields: Any) -> None:
    """Tell an event, and write it into the journal where one is given."""
    if journal is not None:
        journal.add(event, fields)
    level, _ = EVENTS[event]
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, extra={"event": event, "fields": fields})


def tell_dropped(count: int, reason: str) -> None:
    """Tell, once, that the journal cannot be written."""
    emit("dropped", count=count, reason=reason)


def text_of(event: str, fields: dict[str, Any]) -> str:
    """The event as a sentence."""
    shown = {name: spoken(value) if name in DURATIONS else value for name, value in fields.items()}
    if "id" in fields:
        shown["job"] = f"{fields['queue']} {fields['id']}" + (f" ({fields['label']})" if fields.get("label") else "")
        if fields.get("from"):
            shown["job"] += f", element {fields['from']},"
    of = f"{fields['pipeline']}, run {fields['run']}: " if fields.get("run") else ""
    return of + ALL_EVENTS[event][1].format(**shown)


def sentence(event: str, fields: dict[str, Any]) -> str:
    """A line of the journal as the log has it; whatever it holds, for it may be of another version."""
    try:
        level, text = ALL_EVENTS[event][0], text_of(event, {"queue": "", **fields})
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        level, text = logging.INFO, " ".join([event, *(f"{name}={value}" for name, value in fields.items())])
    return text if level < logging.WARNING else f"{logging.getLevelName(level).lower()}: {text}"


class LogLine(logging.Formatter):
    """Lines for people. On a terminal each first wipes the progress that may stand there, and below."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._wipe = WIPE if terminal else ""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level where it is worth a word, sentence; control characters made visible."""
        event = getattr(record, "event", None)
        text = text_of(event, record.fields) if event else record.getMessage()  # type: ignore[attr-defined]
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return f"{self._wipe}{time} {level}{visible(text)}"


class JsonLine(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, event and its fields."""
        event = getattr(record, "event", None)
        fields = getattr(record, "fields", {})
        head = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": event or "message",
            "message": text_of(event, fields) if event else record.getMessage(),
            "pid": os.getpid(),
        }
        line = {
            name: encodable(value) if isinstance(value, str) else value for name, value in {**fields, **head}.items()
        }
        return msgspec.json.encode(line, enc_hook=str).decode()


def log_to_stderr(*, as_json: bool, verbose: bool) -> None:
    """Send events to standard error; the command line's choice."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if as_json else LogLine(terminal=sys.stderr.isatty()))
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(logging.DEBUG if verbose else logging.INFO)
    watchdog = logging.getLogger("watchdog")  # it warns of an overflow, after which the next listing finds everything
    watchdog.handlers[:] = [handler if verbose else logging.NullHandler()]
    watchdog.propagate = False
