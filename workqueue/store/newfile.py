"""A new file, by its descriptor or as a file object; in a ``with`` block, whose end decides what becomes of it."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.store.fs import Fs

    Opener = Callable[[str, int], int]


class Creating:
    """A new file's descriptor: the file is closed at the block's end, and removed if the block or the close fails."""

    __slots__ = ("_fd", "_fs", "_mode", "_path")

    def __init__(self, fs: Fs, path: str, mode: int) -> None:
        self._fs = fs
        self._path = path
        self._mode = mode

    def __enter__(self) -> int:
        self._fd = self._fs.create(self._path, self._mode)
        return self._fd

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._fs.close(self._fd)
            else:
                os.close(self._fd)
        except BaseException:
            self._fs.drop(self._path)
            raise
        if kind is not None:
            self._fs.drop(self._path)


class Leave(Protocol):
    """What closes a new file at the end of its block, and is told whether that ended well."""

    def __call__(self, file: IO[Any], *, well: bool) -> None: ...


class _NewFile(io.IOBase):
    leave: Leave

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.leave(cast("IO[Any]", self), well=kind is None)


class _Writer(_NewFile, io.BufferedWriter):
    pass


class _Random(_NewFile, io.BufferedRandom):
    pass


class _Text(_NewFile, io.TextIOWrapper):
    asked: str

    @property
    def mode(self) -> str:
        return self.asked


def open_new(path: str, mode: str, opener: Opener, leave: Leave) -> IO[Any]:
    """Open as the builtin does, text in UTF-8."""
    binary = "b" in mode
    file: Any = open(path, mode, encoding=None if binary else "utf-8", opener=opener)
    inner = file.detach()
    if binary:
        new: Any = (_Random if "+" in mode else _Writer)(inner)
    else:
        new = _Text(inner, "utf-8")
        new.asked = mode
    new.leave = leave
    return cast("IO[Any]", new)
