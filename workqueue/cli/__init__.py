"""The fsq command: each verb parses, calls one function, prints, exits.

Data goes to stdout, talk to stderr. Exit status: 0 ok · 1 error · 2 usage · 3 drained, but some jobs failed · 4 no such
job · 6 lost the race or wrong state · 75 queue full, or a drain that was stopped before its end · 124 timed out ·
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

TIMED_OUT = 124
INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line; a user's mistake is one line, never a traceback."""
    status: int | str | None = 0
    open_standard_streams()
    try:
        status = run_verb()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except OSError as error:
        status = lost_output(error)
    try:
        sys.stdout.flush()
    except OSError as error:
        status = lost_output(error)
        # Whoever read our output has gone (`fsq ls | head`): the interpreter must not complain of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def lost_output(error: OSError) -> int:
    """Tell that the output could not be written (a full disk), unless its reader has gone."""
    return 1 if isinstance(error, BrokenPipeError) else complain(error, 1)


def open_standard_streams() -> None:
    """Open what is closed of 0, 1 and 2: the next file would get its number, and whatever a handler prints with it."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def run_verb() -> int | str | None:
    """Run one verb; returns the exit status. The imports stand here, so that a Ctrl-C during them is quiet, too."""
    from workqueue.cli.app import command, hot_verb
    from workqueue.errors import FsqError

    try:
        command(hot_verb(sys.argv[1:]))()
    except SystemExit as end:
        return end.code
    except FsqError as error:
        return complain(error, error.exit_status)
    except TimeoutError as error:
        return complain(error, TIMED_OUT)
    return 0


def complain(error: BaseException, status: int) -> int:
    """Print an error in one line, with what was noted on its way."""
    text = " ".join("; ".join((str(error), *getattr(error, "__notes__", ()))).split())
    print("fsq: " + text.encode(errors="backslashreplace").decode(), file=sys.stderr)
    return status
