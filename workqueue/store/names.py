"""Which names may be used for a file or a space: those that stay where they are put."""

from __future__ import annotations

import os

from workqueue.errors import BadName

LONGEST_NAME = 255
"""Bytes, the limit of every local file system."""


def checked(name: object, what: str = "file name") -> str:
    """Return `name` if it is one component of a path that no file system bends; else raise BadName."""
    text = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(text, str):
        raise BadName(f"{what} {name!r}: must be a str, not {type(name).__name__}")
    if text in {"", ".", ".."}:
        raise BadName(f"{what} {text!r}: names no file")
    if "/" in text or "\0" in text or os.sep in text:
        raise BadName(f"{what} {text!r}: must be a plain name, without separators or NUL")
    try:
        length = len(os.fsencode(text))
    except UnicodeEncodeError:
        raise BadName(f"{what} {text!r}: cannot be encoded as a file name") from None
    if length > LONGEST_NAME:
        raise BadName(f"{what} {text[:40]!r}…: {length} bytes, the limit is {LONGEST_NAME}")
    return text
