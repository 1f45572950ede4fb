"""Element: what a handler is given of an array, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, cast

from workqueue.errors import WrongState
from workqueue.jobs import arrays
from workqueue.run.job import OPENING, UNREAD, Job

if TYPE_CHECKING:
    from workqueue.run.elements import ArrayRun
    from workqueue.run.notes import Notes


class Element(Job):
    """One element of an array, as its handler sees it."""

    __slots__ = ("_index", "_is_over", "_line", "_path", "_run", "stages")

    def __init__(self, run: ArrayRun, index: int, line: bytes) -> None:
        self._engine = run.engine
        self._claim = run.claim
        self._may_submit = None
        self._notes = run.notes
        self._payload = UNREAD
        self._pid = run.pid
        self._run = run
        self._index = index
        self._line = line
        self._path = ""
        self._is_over = False
        self.stages = False
        """Whether it has begun to stage something."""

    @property
    def id(self) -> str:
        """The array's id, and which element this is: the same for every attempt in the array."""
        return f"{self._claim.id}.{self._index}"

    @property
    def index(self) -> int:
        """Which element this is, from 0 on."""
        return self._index

    @property
    def submitted(self) -> Any:
        """When the array was submitted."""
        return self._run.job.submitted

    @property
    def payload(self) -> Any:
        """The element's value."""
        if self._payload is UNREAD:
            self._payload = arrays.decode(self._line)
        return self._payload

    @property
    def body(self) -> bytes:
        """The element's line."""
        return self._line

    def open(self) -> BinaryIO:
        """Open a file that holds just this element."""
        return cast("BinaryIO", open(self.path, "rb", buffering=0))

    @property
    def path(self) -> str:
        """The path of a file that holds just this element; it goes when the element has ended."""
        if not self._path:
            self._path = self._engine.element_path(self._claim, self._index, self._line)
        return self._path

    @property
    def checkpoint(self) -> Any:
        """Refused."""
        raise self._saves_nothing()

    def save(self, cursor: Any, *, durable: bool = True) -> None:  # noqa: ARG002
        """Refuse to save: an array is its own checkpoint."""
        raise self._saves_nothing()

    def _saves_nothing(self) -> WrongState:
        return WrongState(
            f"job {self.id}: an element of an array saves no checkpoint: its array goes on behind the elements that"
            " have ended; submit long jobs by themselves"
        )

    def _check_process(self) -> None:
        """Refuse what would be lost, or staged for another element; from the first time on a part is staged."""
        super()._check_process()
        with OPENING:
            if self._is_over:
                raise WrongState(f"job {self.id}: this element has ended; nothing of it is staged any more")
            if not self.stages:
                self._engine.stage(self._claim).begin()
                self.stages = True

    def _told(self) -> Notes:
        self._notes = self._run.told()
        return self._notes

    def end(self) -> None:
        """Let a thread that the handler has left stage nothing any more; remove the element's file."""
        with OPENING:
            self._is_over = True
        if self._path:
            self._engine.root.fs.drop(self._path)
