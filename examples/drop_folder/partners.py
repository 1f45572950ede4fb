"""The partners: each delivers in a way of its own, and none asks whether it is convenient.

Each is a generator that yields how many seconds later it goes on. `play` lets them all act at the same time, and always
in the same order. They know nothing of queues.
"""

import heapq
import os
import time
from collections.abc import Callable, Generator

HEADER = "day,amount\n"

Steps = Generator[float, None, None]
Partner = Callable[[str], Steps]


def rows(*amounts: int) -> str:
    return HEADER + more(*amounts)


def more(*amounts: int) -> str:
    return "".join(f"2026-07-01,{amount}\n" for amount in amounts)


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


# -- into a folder where a file is complete when it has not changed for a while ----------------------------------


def part_then_renamed(folder: str) -> Steps:
    """As browsers and rsync do: under another name until it is whole."""
    write(f"{folder}/bakery.csv.part", HEADER)
    yield 0.4
    with open(f"{folder}/bakery.csv.part", "a", encoding="utf-8") as file:
        file.write(more(1, 2, 3))
    os.rename(f"{folder}/bakery.csv.part", f"{folder}/bakery.csv")


def dot_then_renamed(folder: str) -> Steps:
    write(f"{folder}/.butcher.csv.tmp", rows(10, 20))
    yield 0.2
    os.rename(f"{folder}/.butcher.csv.tmp", f"{folder}/butcher.csv")


def slowly(folder: str) -> Steps:
    """As an upload over a thin line: open from its beginning to its end."""
    with open(f"{folder}/grocer.csv", "w", encoding="utf-8") as file:
        file.write(HEADER)
        for amount in range(5):
            file.write(more(amount))
            file.flush()
            yield 0.45


def in_bursts(folder: str) -> Steps:
    """Closed after each row; only its being still for a while tells that it is whole."""
    write(f"{folder}/printer.csv", HEADER)
    for amount in range(4):
        yield 0.3
        with open(f"{folder}/printer.csv", "a", encoding="utf-8") as file:
            file.write(more(amount))


def corrected_at_once(folder: str) -> Steps:
    """The first version was wrong; the second one comes before anybody has taken it."""
    write(f"{folder}/tailor.csv", rows(7))
    yield 0.3
    write(f"{folder}/tailor.csv", rows(7, 8, 9))


def corrected_later(folder: str) -> Steps:
    """The first version is taken by then: the second one is a job of its own."""
    write(f"{folder}/weaver.csv", rows(1))
    while os.path.exists(f"{folder}/weaver.csv"):
        yield 0.1
    write(f"{folder}/weaver.csv", rows(1, 2))


def sent_twice(folder: str) -> Steps:
    """The same content, under two names."""
    write(f"{folder}/cutler.csv", rows(3, 4))
    while os.path.exists(f"{folder}/cutler.csv"):
        yield 0.1
    write(f"{folder}/cutler-again.csv", rows(3, 4))


def unreadable(folder: str) -> Steps:
    """The wrong umask at the other end."""
    write(f"{folder}/locksmith.csv.tmp", rows(5))
    os.chmod(f"{folder}/locksmith.csv.tmp", 0)
    os.rename(f"{folder}/locksmith.csv.tmp", f"{folder}/locksmith.csv")
    yield from ()


def never_completed(folder: str) -> Steps:
    """The line broke, and nobody has noticed."""
    write(f"{folder}/miller.csv.part", HEADER + "2026-07")
    yield from ()


def a_link(folder: str) -> Steps:
    os.symlink("/etc/passwd", f"{folder}/stranger.csv")
    yield from ()


def no_table(folder: str) -> Steps:
    """Complete, and of no use."""
    write(f"{folder}/painter.csv.part", "<html>503 Service Unavailable</html>\n")
    os.rename(f"{folder}/painter.csv.part", f"{folder}/painter.csv")
    yield from ()


# -- into a folder where a file is complete when its done-file is there ------------------------------------------


def with_done_file(folder: str) -> Steps:
    write(f"{folder}/bank.csv", rows(100, 200, 300, 400))
    yield 0.3
    write(f"{folder}/bank.csv.ok", "")


def without_done_file(folder: str) -> Steps:
    write(f"{folder}/insurer.csv", rows(6))
    yield from ()


STILL: tuple[Partner, ...] = (
    part_then_renamed,
    dot_then_renamed,
    slowly,
    in_bursts,
    corrected_at_once,
    corrected_later,
    sent_twice,
    unreadable,
    never_completed,
    a_link,
    no_table,
)
DONE_FILES: tuple[Partner, ...] = (with_done_file, without_done_file)


def play(still: str, done_files: str) -> None:
    """Let all partners deliver, at the same time; returns when the last one has."""
    partners = [*(partner(still) for partner in STILL), *(partner(done_files) for partner in DONE_FILES)]
    began = time.monotonic()
    acting = [(0.0, number) for number in range(len(partners))]
    while acting:
        due, number = heapq.heappop(acting)
        time.sleep(max(0.0, began + due - time.monotonic()))
        for pause in partners[number]:
            heapq.heappush(acting, (time.monotonic() - began + pause, number))
            break
