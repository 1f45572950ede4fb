"""kill -9 of a watch, again and again, while a partner writes slowly, renames in, links and overwrites."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.processes import Running
from workqueue.testing import drain

if TYPE_CHECKING:
    from pathlib import Path

    from support.fsq import Fsq
    from workqueue import Job

FILES = 240
PIECES = 4


def content(number: int) -> bytes:
    """A file that is easily seen to be whole: as many lines as it has pieces, each of them the number."""
    return f"{number}\n".encode() * PIECES


def partner(folder: str) -> None:
    """Deliver in every way there is."""
    for number in range(FILES):
        path, hidden = f"{folder}/{number}.csv", f"{folder}/.{number}"
        match number % 4:
            case 0:  # slowly, under its final name
                with open(path, "wb", buffering=0) as file:
                    for _ in range(PIECES):
                        file.write(content(number)[: -(-len(content(number)) // PIECES)])
                        time.sleep(0.002)
            case 1:
                write(hidden, content(number))
                os.rename(hidden, path)
            case 2:
                write(f"{folder}/../outbox", content(number))
                os.link(f"{folder}/../outbox", path)
                os.unlink(f"{folder}/../outbox")
            case 3:  # over a name that may be there still
                write(hidden, content(number))
                os.rename(hidden, f"{folder}/again.csv")
        time.sleep(0.001)


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


@pytest.mark.parametrize(
    "options",
    [(), ("--archive", "kept/{name}"), ("--dedupe", "sha256"), ("--leave",)],
    ids=["moved", "archived", "by content", "left"],
)
def test_a_watch_that_is_killed_again_and_again_makes_each_file_one_job(
    fsq: Fsq, tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    chance, kills = random.Random(7), 0
    words = ("-r", fsq.root, "watch", str(folder), "--ready", "close", "--json", *options)
    with Running(lambda: partner(str(folder)), tmp_path / "partner") as sender:
        while not sender.has_ended() or kills < 12:
            watch = fsq.start(*words)
            time.sleep(chance.uniform(0.01, 0.25))
            watch.signal(signal.SIGKILL)
            watch.wait()
            kills += 1
        assert sender.wait() == 0, sender.err
    last = fsq.start(*words, "--once")
    assert last.wait() == 0, last.err
    assert kills >= 12
    found = jobs(fsq.root)
    assert max(found.values()) == 1, "none twice"
    alone = {content(number) for number in range(FILES) if number % 4 != 3}
    again = {content(number) for number in range(3, FILES, 4)}
    assert alone <= found.keys(), "none lost"
    assert found.keys() <= alone | again, "none torn"
    assert content(FILES - 1) in found, "and the last of those that replaced one another"
    assert [name for name in os.listdir(folder) if "--leave" not in options] == []
    if "--archive" in options:
        kept = [(tmp_path / "kept" / name).read_bytes() for name in os.listdir(tmp_path / "kept")]
        assert Counter(kept) == found


def jobs(root: str) -> Counter[bytes]:
    """Run all jobs; what each file held when its job was made, and how often."""
    found: Counter[bytes] = Counter()

    def handle(job: Job) -> None:
        payload = job.payload
        if isinstance(payload, dict) and "path" in payload:
            with open(payload["path"], "rb") as file:
                data = file.read()
            # A name that was overwritten in the meantime: the version that the job was made for is gone.
            found[
                data if payload["mtime"] == os.stat(payload["path"]).st_mtime_ns / 1e9 else json.dumps(payload).encode()
            ] += 1
        else:
            found[job.body] += 1

    drain(root, handle)
    for key in [key for key in found if key.startswith(b"{")]:
        del found[key]
    return found
