"""What a watch tells: data on stdout, talk on stderr; or all of it as JSON lines on stdout."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import msgspec

from workqueue.jobs.durations import shown_size, spoken
from workqueue.run.printable import encodable, visible

TEXTS = {
    "watching": "watching {folder} for queue {queue}",
    "polling": "no wake-ups ({reason}); listing the folder every {interval} instead",
    "ingested": "{id}\t{path}",
    "duplicate": "duplicate: {path}: {where}",
    "skipped": "skipped: {path}: {reason}",
    "unreadable": "warning: {path}: {reason}; it stays, and is tried again",
    "more": "… and {count} more",
    "gone": "error: {text}; waiting for it to come back",
    "full": "warning: {text}; waiting for room",
    "trouble": "error: {text}; trying again",
    "going on": "going on",
    "summary": "{ingested} ingested ({size}), {duplicates} duplicates, {unreadable} unreadable, {skipped} skipped,"
    " {waiting} waiting, {recovered} recovered",
}
"""Every event and its sentence."""


def as_text(event: str, fields: dict[str, object]) -> None:
    """A line for people; of a file that was taken, its job's id and its name on stdout."""
    line = visible(TEXTS[event].format(**shown(event, fields))) if event != "ingested" else ""
    if event == "ingested":
        print(f"{fields['id']}\t{encodable(visible(str(fields['path'])))}", flush=True)
        return
    print(f"{datetime.now().astimezone():%H:%M:%S} {encodable(line)}", file=sys.stderr, flush=True)


def shown(event: str, fields: dict[str, object]) -> dict[str, object]:
    """The fields as people read them."""
    more: dict[str, object] = {}
    if event == "duplicate":
        more["where"] = f"kept in {fields['archive']}" if "archive" in fields else f"same as job {fields['id']}; stays"
    if event == "summary":
        more["size"] = shown_size(int(str(fields["bytes"])))
    if event == "polling":
        more["interval"] = spoken(float(str(fields["interval"])))
    return {**fields, **more}


def as_lines(event: str, fields: dict[str, object]) -> None:
    """A JSON line."""
    texts = {name: encodable(value) if isinstance(value, str) else value for name, value in fields.items()}
    head = {"event": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    print(msgspec.json.encode({**head, **texts}).decode(), flush=True)
