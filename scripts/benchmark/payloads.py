"""Payloads of any size, by value and by file: what a submit costs, and what a run of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from benchmark import bare
from benchmark.queue import producer_in, waiting
from benchmark.scenario import IncompleteError, Measured
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 1 << 20
PAGE = 4096


def by_value(size: int, home: str, count: int) -> Measured:
    """Submit bytes; then claim, read and end each job in this process, as a worker does."""
    payload = b"x" * size
    return submitted(home, [{"payload": payload}] * count, [{"payload": b"1"}], size)


def by_file(size: int, home: str, count: int) -> Measured:
    """Move files in; then claim and end each job, which leaves its file unread."""
    files, first = make_files(home, count, size), make_files(f"{home}/first", 1, 1)
    moves, move = ([{"file": path, "mode": "move"} for path in paths] for paths in (files, first))
    return submitted(home, moves, move, None)


def submitted(home: str, jobs: list[dict[str, Any]], first: list[dict[str, Any]], size: int | None) -> Measured:
    """Submit and run; after another, which is not measured, for also where a single job is it is not the first."""
    producer = producer_in(home)

    def submit(given: list[dict[str, Any]]) -> None:
        for one in given:
            producer.submit(**one, durable=False)

    submit(first)
    runs(producer.root, home, 1, None)
    took = bare.timed(lambda: submit(jobs))
    return Measured(took.seconds, {"run": runs(producer.root, home, len(jobs), size)})


def runs(root: str, home: str, count: int, size: int | None) -> float:
    """Seconds to claim and end all jobs; with a size each payload is read, and must have it."""
    engine = DirectoryEngine(Root(root))
    names = sorted(waiting(home))

    def loop() -> None:
        for text in names:
            claim = engine.take("default", text, 0)
            assert isinstance(claim, Claim)
            if size is not None and len(engine.body(claim)) != size:
                raise IncompleteError(f"{text} has not its {size} bytes")
            engine.finish(claim)

    took = bare.timed(loop)
    if len(names) != count or waiting(home) or waiting(home, "cur"):
        raise IncompleteError(f"{len(names)} of {count} jobs were there; left: {waiting(home)}")
    return took.seconds


def bare_by_value(size: int, home: str, count: int) -> Measured:
    """Write, rename; rename, open, read, unlink."""
    bare.prepare(home)
    data = b"x" * size

    def submit(text: str) -> None:
        bare.write(f"{home}/tmp/{text}", data)
        os.rename(f"{home}/tmp/{text}", f"{home}/new/{text}")

    return bare_both(home, count, submit, size)


def bare_by_file(size: int, home: str, count: int) -> Measured:
    """Rename; rename, open, read a page, unlink."""
    bare.prepare(home)
    files = iter(make_files(home, count, size))
    return bare_both(home, count, lambda text: os.rename(next(files), f"{home}/new/{text}"), PAGE)


def bare_both(home: str, count: int, submit: Callable[[str], object], read: int) -> Measured:
    names = [bare.name(number) for number in range(count)]

    def run() -> None:
        for text in names:
            target = f"{home}/cur/{text}@0.abcd"
            os.rename(f"{home}/new/{text}", target)
            fd = os.open(target, bare.READ)
            os.fstat(fd)
            os.read(fd, read)
            os.close(fd)
            os.unlink(target)

    took = bare.timed(lambda: [submit(text) for text in names])
    return Measured(took.seconds, {"run": bare.timed(run).seconds})


def make_files(home: str, count: int, size: int) -> list[str]:
    """Files with something in every page."""
    os.makedirs(home, exist_ok=True)
    paths = [f"{home}/{number}" for number in range(count)]
    for path in paths:
        with open(path, "wb", buffering=0) as file:
            file.writelines(b"x" * min(PIECE, size - start) for start in range(0, size, PIECE))
    return paths
