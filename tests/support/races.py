"""Functions raced in real processes: forked from a single-threaded test, let go together, each answering with JSON."""

from __future__ import annotations

import json
import os
import signal
import threading
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def race(*functions: Callable[[], Any]) -> list[Any]:
    """Run each function in a process of its own, all let go at once; returns what they returned, as JSON reads it."""
    assert threading.active_count() == 1, "a fork beside threads can deadlock"
    gate, opener = os.pipe()
    children = [_start(function, gate, opener) for function in functions]
    os.close(gate)
    os.close(opener)  # the shot is the end of file: the last one to close its copy lets all go
    answers = []
    try:
        while children:
            pid, pipe = children[0]
            text = _read(pipe)
            del children[0]
            os.close(pipe)
            _, status = os.waitpid(pid, 0)
            assert status == 0, text
            answers.append(json.loads(text))
    finally:
        for pid, pipe in children:  # the test has failed, or its time is up
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pipe)
    return answers


def in_child(function: Callable[[], Any]) -> Any:
    """Run a function in a process of its own."""
    return race(function)[0]


def outcomes(*functions: Callable[[], Any]) -> list[str]:
    """Race functions; returns "ok", or the name of the exception that each raised."""
    return race(*(_told(function) for function in functions))


def _told(function: Callable[[], Any]) -> Callable[[], str]:
    def told() -> str:
        try:
            function()
        except Exception as error:
            return type(error).__name__
        return "ok"

    return told


def _start(function: Callable[[], Any], gate: int, opener: int) -> tuple[int, int]:
    answer, pipe = os.pipe()
    pid = os.fork()
    if pid:
        os.close(pipe)
        return pid, answer
    status = 1
    try:
        os.close(opener)
        os.read(gate, 1)
        os.write(pipe, json.dumps(function()).encode())
        status = 0
    except BaseException:
        os.write(pipe, traceback.format_exc().encode()[-4000:])
    finally:
        os._exit(status)


def _read(pipe: int) -> str:
    with open(pipe, "rb", closefd=False) as file:
        return file.read().decode()
