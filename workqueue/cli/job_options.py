"""The options of every verb that submits jobs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from workqueue.errors import BadInput

DelayOption = Annotated[str | None, typer.Option("--delay", help="Not before this has passed: 90s, 10m, 1h30m.")]
AtOption = Annotated[str | None, typer.Option("--at", help="Not before this time: 2026-07-01T04:00+02:00.")]
PriorityOption = Annotated[int, typer.Option("--priority", "-p", help="0 runs first, 9 last.")]
AgainOption = Annotated[
    bool, typer.Option("--again", help="Also where the key is only kept taken (--key-for) by a job that has ended.")
]
AttemptsOption = Annotated[int | None, typer.Option("--max-attempts", help="Starts before it is put into failed/.")]
TimeoutOption = Annotated[str | None, typer.Option("--timeout", help="How long one run may take.")]
ExpiresOption = Annotated[str | None, typer.Option("--expires", help="Fail it if it was not started within this time.")]
KeepOption = Annotated[str | None, typer.Option("--keep", help="Keep the outcome in done/ for so long.")]
RejectLimitOption = Annotated[
    str | None, typer.Option("--reject-limit", help="Fail a run that rejects more records: 100, or 1% of those read.")
]
HeaderOption = Annotated[
    list[str] | None, typer.Option("--header", metavar="NAME=TEXT", help="Given beside the payload.")
]
VolatileOption = Annotated[bool, typer.Option("--volatile", help="Survive kill -9, but not a power cut; faster.")]


def job_options(*, volatile: bool, header: list[str] | None = None, **given: Any) -> dict[str, Any]:
    """The options as the producer takes them."""
    return {**given, "headers": headers(header), "durable": not volatile}


def headers(given: list[str] | None) -> dict[str, str] | None:
    """NAME=TEXT, as a dict."""
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(f"--header {text!r}: use NAME=TEXT")
        pairs[name] = value
    return pairs or None
