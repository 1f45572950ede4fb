"""A new file: a plain one, until it is used in a ``with`` block, whose end decides what becomes of it."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    Opener = Callable[[str, int], int]


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
