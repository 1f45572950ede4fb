"""The bare loops of runs: the same system calls as a worker's, and nothing around them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from benchmark.bare import READ, arrays, name, prepare, submit, sync_dir, timed, write
from benchmark.processes import together
from benchmark.scenario import Measured
from benchmark.stopwatch import Clockwork

if TYPE_CHECKING:
    from collections.abc import Callable

DEATH = b'{"attempt":1,"at":1764000000000,"kind":"death","message":"its worker died"}\n'


def consume(home: str, names: list[str], handler: Callable[[str], None], new: str = "") -> None:
    new = new or f"{home}/new"
    for text in names:
        target = f"{home}/cur/{text}@0.abcd"
        os.rename(f"{new}/{text}", target)
        fd = os.open(target, READ)
        os.fstat(fd)
        os.read(fd, 65_536)
        os.close(fd)
        handler(text)
        os.unlink(target)


def drains(processes: int, home: str, count: int) -> Measured:
    """Each process its own names, 16 at a time as they are dealt: no two want the same."""
    prepare(home)
    submit(home, count)
    names = [name(number) for number in range(count)]
    dealt = [[text for at, text in enumerate(names) if at // 16 % processes == who] for who in range(processes)]
    handler = Clockwork()
    together(processes, lambda who: consume(home, dealt[who], handler))
    return Measured(handler.seconds)


def array_drains(size: int, home: str, count: int) -> Measured:
    """Claim each, split it into lines, decode each and call a function with it."""
    arrays(size, home, count)
    decode = msgspec.json.Decoder().decode
    seen = [0]

    def handler(payload: dict[str, int]) -> None:
        assert payload["n"] >= 0
        seen[0] += 1

    def loop() -> None:
        for directory in sorted(os.listdir(f"{home}/new"), key=int):
            for text in os.listdir(f"{home}/new/{directory}"):
                target = f"{home}/cur/{text}@0.abcd"
                os.rename(f"{home}/new/{directory}/{text}", target)
                fd = os.open(target, READ)
                data = os.read(fd, os.fstat(fd).st_size)
                os.close(fd)
                for line in data.split(b"\n")[1:-1]:
                    handler(decode(line))
                os.unlink(target)

    took = timed(loop)
    assert seen[0] == count
    return took


def retries(home: str, count: int) -> Measured:
    """Claim, put off, make ready, claim, end."""
    prepare(home)
    submit(home, count)

    def loop() -> None:
        for number in range(count):
            text = name(number)
            target = f"{home}/cur/{text}@0.abcd"
            os.rename(f"{home}/new/{text}", target)
            os.close(os.open(target, READ))
            os.mkdir(f"{home}/keys/{number}")
            write(f"{home}/keys/{number}/errors")
            os.rename(target, f"{home}/later/{text}")
            os.rename(f"{home}/later/{text}", f"{home}/new/{text}")
            os.rename(f"{home}/new/{text}", target)
            os.close(os.open(target, READ))
            os.unlink(target)
            os.unlink(f"{home}/keys/{number}/errors")
            os.rmdir(f"{home}/keys/{number}")

    return timed(loop)


def handovers(children: int, home: str, count: int) -> Measured:
    """The steps of the staged commit, each synced where it must be."""
    prepare(home)
    submit(home, count)
    for number in range(count):
        os.rename(f"{home}/new/{name(number)}", f"{home}/cur/{name(number)}")

    def loop() -> None:
        for number in range(count):
            text = name(number)
            items = [f"{home}/commit/{text}+{item}" for item in range(children + 1)]
            for item in items:
                write(item, sync=True)
            sync_dir(f"{home}/commit")
            os.rename(f"{home}/cur/{text}", f"{home}/done/{text}")
            sync_dir(f"{home}/done")
            sync_dir(f"{home}/cur")
            for child, item in enumerate(items[1:]):
                os.rename(item, f"{home}/new/{text}{child}")
            sync_dir(f"{home}/new")
            os.unlink(items[0])
            os.unlink(f"{home}/done/{text}")

    return timed(loop)


def recoveries(home: str, count: int) -> Measured:
    prepare(home)
    for number in range(count):
        write(f"{home}/cur/{name(number)}")

    def loop() -> None:
        for text in os.listdir(f"{home}/cur"):
            os.rename(f"{home}/cur/{text}", f"{home}/new/{text}")

    return timed(loop)


def told_recoveries(home: str, count: int) -> Measured:
    """Each claim is read, its death written down in a directory of its own, and its cancel looked for."""
    prepare(home)
    for number in range(count):
        write(f"{home}/cur/{name(number)}")

    def loop() -> None:
        for text in os.listdir(f"{home}/cur"):
            fd = os.open(f"{home}/cur/{text}", READ)
            os.fstat(fd)
            os.read(fd, 65_536)
            os.close(fd)
            os.path.exists(f"{home}/keys/{text}/cancel")
            os.mkdir(f"{home}/keys/{text}", 0o700)
            write(f"{home}/keys/{text}/errors.jsonl", DEATH)
            os.rename(f"{home}/cur/{text}", f"{home}/new/{text}")

    return timed(loop)
