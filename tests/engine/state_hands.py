"""Makes a row of docs/states.md by a stranger's hand: plain files, links, directories, as docs/format.md has them."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

import msgspec

from engine.state_forms import END, KEY, NOTHING, key_path
from engine.worlds import SLOT, plain_name

if TYPE_CHECKING:
    from engine.worlds import World

ID, *OTHERS = (plain_name(1_700_000_000_000, number=number)[2:28] for number in range(3))
"""The job's, and of those that share its batch."""
PAYLOAD = b"content"
LONG = 600.0
"""Seconds until a delayed job is due, and a ban over; for which an outcome is kept."""
RECORDS = {
    "options.tmp": "options.1.tmp", "result.tmp": "result.1.tmp", "errors": "errors.jsonl", "result": "result",
    "options": "options", "checkpoint": "checkpoint", "checkpoint.tmp": "checkpoint.1.tmp", "progress": "progress",
    "checkpoint-volatile": "checkpoint-volatile", "checkpoint-volatile.tmp": "checkpoint-volatile.1.tmp",
    "progress.tmp": "progress.1.tmp",
}  # fmt: skip


def make(world: World, row: str, file: str) -> None:
    """Make what the row says; `file` is where the user's would be."""
    _Hand(world, [part for part in row.split() if part != NOTHING], file).make()


class _Hand:
    def __init__(self, world: World, parts: list[str], file: str) -> None:
        self._world, self._parts, self._file = world, parts, file
        self._dot = f"{world.path}/.fsq"
        self._draft = world.at("tmp", "draft")
        self._is_whole = any(part.startswith(("file", "jobs/options")) for part in parts)
        self._due = round((world.clock.now() + LONG) * 1000)

    def make(self) -> None:
        """The job's file first, under a name that goes again: all of its places are links of it."""
        write(self._draft, self._content())
        for part in self._parts:
            self._make(part)
        os.unlink(self._draft)

    def _make(self, part: str) -> None:
        directory, _, name = part.partition("/")
        if part == "file":
            os.link(self._draft, self._file)
        elif part.startswith("key"):
            self._make_key(part)
        elif directory == "jobs":
            self._make_record(name)
        elif part == "cancel":
            write(f"{self._dot}/cancel/{ID}", b"")
        elif directory == "stage":
            self._make_stage(name)
        elif directory == "commit":
            self._make_commit(name)
        elif name:
            self._make_batch(directory, name.partition(":")[2])
        else:
            self._make_file(part)

    def _make_file(self, part: str) -> None:
        place, _, how = part.replace(":", "-").partition("-")
        match how:
            case "bare":
                os.link(self._draft, self._world.at(place, "report.csv"))
            case "gone":
                os.link(self._draft, self._world.at(place, ".gone-0123"))
            case "part" | "torn":
                name = self._name(place, "1" if place == "cur" else "0")
                write(self._world.at(place, name), half(self._content()))
            case _:
                attempt = "0" if how == "whole" else how.rstrip("!~")
                os.link(self._draft, self._world.at(place, self._name(place, attempt)))

    def _make_batch(self, place: str, how: str) -> None:
        due = f"{self._due}-" if place == "later" else ""
        directory = self._world.at(place, ".gone-0123" if how == "gone" else f"{due}5-{ID}-b")
        os.mkdir(directory)
        for job_id in (ID, *OTHERS) if how != "empty" else ():
            data = self._content()
            write(f"{directory}/5-{job_id}-0", half(data) if how == "part" and job_id in OTHERS else data)

    def _make_key(self, part: str) -> None:
        path = key_path(self._world.path)
        match part:
            case "key":
                os.link(self._draft, path)
            case "key:alone":
                write(path, self._content())
            case "key:ban":
                write(path, msgspec.json.encode({"fsq-ban": ID}))
                os.utime(path, (self._world.clock.now() + LONG,) * 2)
            case _:
                write(f"{path}.1.tmp", b"")

    def _make_record(self, name: str) -> None:
        directory = f"{self._dot}/jobs/{ID}"
        os.makedirs(directory, exist_ok=True)
        if name:
            content = {"options": self._line(), "result": b"[1]", "errors": b'{"attempt":1,"message":"x"}\n'}
            write(f"{directory}/{RECORDS[name]}", content.get(name, b""))

    def _make_stage(self, name: str) -> None:
        directory = f"{self._dot}/stage/{self._name('cur', '1')}"
        os.mkdir(directory)
        if name:
            write(f"{directory}/{name}", PAYLOAD)

    def _make_commit(self, name: str) -> None:
        """What a run hands over: here rejected records."""
        run = f"{self._dot}/commit/5-{ID}-1@{SLOT}.abcd"
        write(f"{run}+1", b'{"record":1,"reason":"x"}\n')
        if name == "sealed":
            header = {"type": "run", "queue": "default", "name": self._name("cur", "1")}
            item = {"type": "item", "number": 1, "to": f"default/rejected/{ID}-1.jsonl"}
            write(f"{run}+0", b"".join(msgspec.json.encode(line) + b"\n" for line in (header, item)) + END)

    def _name(self, place: str, attempt: str) -> str:
        due = f"{self._due}-" if place == "later" else ""
        worker = f"@{SLOT}.abcd" if place in {"cur", "done"} and attempt != "0" else ""
        return f"{due}5-{ID}-{attempt}{worker}{'=report.csv' if self._is_whole else ''}"

    def _content(self) -> bytes:
        if self._is_whole or "new:bare" in self._parts:
            return PAYLOAD
        return self._line() + b"\n" + PAYLOAD

    def _line(self) -> bytes:
        line: dict[str, object] = {"fsq": 1, "type": "bytes"}
        if not self._is_whole:
            line |= {"len": len(PAYLOAD), "crc": zlib.crc32(PAYLOAD)}
        for part in self._parts:
            if part.startswith("key") and not self._is_whole:
                line |= {"key": KEY, "name": self._name("later" if "later-0" in self._parts else "new", "0")}
            elif part.startswith("key"):
                line |= {"key": KEY}
            elif part.endswith("!"):
                line |= {"max_attempts": int(part[4:-1])}
            elif part.startswith(("done", "jobs/result")) and not part.endswith("~"):
                line |= {"keep": LONG}
        return msgspec.json.encode(line)


def half(data: bytes) -> bytes:
    """What is there of a file that was not written to its end: not all of line 1."""
    return data[: len(data) // 2]


def write(path: str, data: bytes) -> None:
    """Make a new file."""
    with open(path, "xb") as file:
        file.write(data)
