"""Failures: what is kept and told of an exception that ended a run."""

from __future__ import annotations

import os
import traceback
from typing import Any

from workqueue.run.printable import encodable

OURS = (f"{os.sep}workqueue{os.sep}run{os.sep}", f"{os.sep}workqueue{os.sep}pipeline{os.sep}stage_calls")
"""What the path of a frame of ours has in it."""
LONGEST_TRACE = 20_000
"""Characters of a traceback that are kept; the end of it tells most."""


def record(kind: str, error: BaseException) -> dict[str, Any]:
    """What is kept of an exception; the traceback begins in the handler."""
    kept = {"kind": kind, "type": type(error).__name__, "message": words_of(error)[:LONGEST_TRACE]}
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    own = [line for line in lines if not any(ours in line for ours in OURS)]
    if any(line.lstrip().startswith("File ") for line in own):
        kept["traceback"] = encodable("".join(own))[-LONGEST_TRACE:]
    return kept


def words_of(error: BaseException) -> str:
    """What an exception says; some cannot even say it, and some say what no file can hold."""
    try:
        return encodable(str(error))
    except Exception as own:  # noqa: BLE001 - the user's __str__
        return f"(its text cannot be had: {type(own).__name__})"


def cause(error: dict[str, Any]) -> str:
    """What errors are counted by: the class, or the kind of end."""
    return str(error.get("type") or error["kind"])


def brief(error: dict[str, Any]) -> str:
    """An error in one line."""
    kind = error.get("type")
    text = str(error["message"]).strip().split("\n")[0][:300]
    plain = kind is None or error["kind"] in {"rejected", "retry", "timeout", "exit"}
    return text if plain else f"{kind}: {text}" if text else str(kind)
