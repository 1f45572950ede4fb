"""Asking another process: what importing a module would tell us, where importing it here would start threads."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from workqueue.errors import FsqError, HandlerNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

OK, REFUSED = b"+", b"-"


def asked(question: Callable[[], bytes]) -> bytes:
    """The answer, a line, worked out in a forked child; raises HandlerNotFound with what the child's FsqError says."""
    read, write = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # nobody may be listening
            stream.flush()  # else the child would write the same text again
    pid = os.fork()
    if pid == 0:
        os.close(read)
        answer(question, write)
    os.close(write)
    try:
        with open(read, "rb") as pipe:
            told = pipe.readline()  # its end is not waited for: what the import has started may keep it open
    finally:
        os.waitpid(pid, 0)
    if told[:1] == OK:
        return told[1:]
    raise HandlerNotFound(told[1:].decode().strip() or "the process that imported the handler died of it")


def answer(question: Callable[[], bytes], write: int) -> None:
    """Answer, and end this process, whatever the import does."""
    try:
        told = OK + question()
    except FsqError as error:
        told = REFUSED + str(error).encode(errors="backslashreplace")
    except BaseException as error:  # noqa: BLE001 - it must not return into the parent's code
        told = REFUSED + f"{type(error).__name__}: {error}".encode(errors="backslashreplace")
    with suppress(BaseException):
        with open(write, "wb") as pipe:
            pipe.write(told.replace(b"\n", b" ") + b"\n")
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)
