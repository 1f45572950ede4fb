"""Many jobs by one command: each is told as soon as it is safe, and however it ends, how far it came."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from workqueue.cli.app import say
from workqueue.cli.output import print_json, shown
from workqueue.errors import FsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType

    from workqueue.pipeline.inputs import Placed

T = TypeVar("T")


class Patience:
    """Ctrl-C between two submits and never within one, so that what was submitted is known.

    Who waits for the next item (a line that is still being typed) is interrupted at once.
    """

    def __init__(self) -> None:
        self._asked = self._idle = False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep it up for a block; where Ctrl-C is ignored, or somebody else's business, that stays so."""
        before = signal.getsignal(signal.SIGINT)
        if before != signal.default_int_handler or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._idle:
            raise KeyboardInterrupt

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """The items, until Ctrl-C."""
        rest = iter(items)
        while True:
            self._idle = True
            try:
                if self._asked:
                    raise KeyboardInterrupt
                item = next(rest)
            except StopIteration:
                return
            finally:
                self._idle = False
            yield item


@contextmanager
def telling(how_far: Callable[[], str]) -> Iterator[Patience]:
    """Say how far it came when a block that submits many jobs does not come to its end."""
    patience = Patience()
    try:
        with patience.kept():
            yield patience
    except KeyboardInterrupt:
        say(f"fsq: interrupted; {how_far()}")
        raise
    except BrokenPipeError:
        say(f"fsq: nobody reads what is printed; {how_far()}")
        raise
    except (FsqError, OSError) as error:
        error.add_note(how_far())
        raise


class Tally:
    """What was submitted so far: counts it and prints it."""

    def __init__(self, noun: str, total: int, queue: str, *, as_json: bool) -> None:
        self._noun, self._total, self._queue, self._as_json = noun, total, queue, as_json
        self.go_on: Callable[[str], str] = lambda _: "the same command goes on"
        """Given the last that was submitted: how to go on behind it."""
        self.submitted = 0
        self.there: list[str] = []
        """Ids of jobs that had the key already."""
        self._last = ""

    def how_far(self) -> str:
        """How far it came, and how to go on."""
        there = f", {len(self.there)} were there already" if self.there else ""
        done = f"{self.submitted} of {self._total} {self._noun} are submitted{there}"
        return f"{done}; {self.go_on(self._last)}" if self._last else done

    def print_columns(self, placed: Sequence[Placed]) -> None:
        """Print id, what it is, and whether it was submitted now."""
        self._print(placed, lambda each: f"{each.id}\t{shown(each.input.what)}\t{'new' if each.created else 'there'}\n")

    def print_ids(self, placed: Sequence[Placed]) -> None:
        """Print the ids alone."""
        self._print(placed, lambda each: f"{each.id}\n")

    def _print(self, placed: Sequence[Placed], line: Callable[[Placed], str]) -> None:
        self._count(placed)
        for each in placed:
            if self._as_json:
                facts: dict[str, Any] = {"id": each.id, "queue": self._queue, "created": each.created}
                print_json({**facts, **each.input.facts})
            else:
                sys.stdout.write(line(each))
        sys.stdout.flush()

    def _count(self, placed: Sequence[Placed]) -> None:
        """Before anything is printed: that may fail, and what is submitted is submitted."""
        for each in placed:
            self.submitted += each.created
            if not each.created:
                self.there.append(each.id)
            self._last = each.input.what

    def say(self) -> None:
        """Say what it came to."""
        there = f", {len(self.there)} there already" if self.there else ""
        say(f"{self._total} {self._noun}: {self.submitted} submitted{there}")
