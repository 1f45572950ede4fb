"""fsq worker."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from workqueue.cli.app import RootOption, app, root_path
from workqueue.cli.job_options import RejectLimitOption
from workqueue.engine.root import DEFAULT_QUEUE
from workqueue.errors import BadSetting, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.run.summary import Summary

T = TypeVar("T")
SOME_FAILED = 3
NOT_DRAINED = 75
"""A drain was stopped before its end: whoever waits for it (`fsq worker --drain && next`) must not go on."""
IMPORT_IN_WORKERS = "FSQ_IMPORT_IN_WORKERS"
"""Set when importing the handler started threads: then this process must not import it, because it forks."""


@app.command(
    epilog="Examples:  fsq worker --handler etl:load -n 4  ·  fsq worker --handler ./jobs.py:run --drain  ·"
    "  fsq worker --exec 'gzip -k {path}' -q files"
)
def worker(
    context: typer.Context,
    handler: Annotated[
        str | None,
        typer.Option("--handler", "-H", metavar="MODULE:FUNCTION", help="The function that gets each job."),
    ] = None,
    program: Annotated[
        str | None, typer.Option("--exec", metavar="'CMD {path}'", help="A program for each job; payload on stdin.")
    ] = None,
    queues: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", metavar="NAME", help="Queues to serve, first named first.", show_default=False),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", "-n", min=1, help="Worker processes.", show_default="cores")
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="End when no job is ready, running or to be retried")] = False,
    max_attempts: Annotated[int | None, typer.Option(min=1, help="Starts before a job is put into failed/.")] = None,
    backoff: Annotated[
        str | None, typer.Option(metavar="BASE..MAX", help="Wait before a retry, as in 15s..6h.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="How long one run may take.")] = None,
    grace: Annotated[str | None, typer.Option(help="Time to finish after a stop or a timeout.")] = None,
    keep_done: Annotated[str | None, typer.Option(help="Keep finished jobs in done/ for so long.")] = None,
    reject_limit: RejectLimitOption = None,
    max_jobs: Annotated[int | None, typer.Option(min=1, help="Replace a worker after so many jobs.")] = None,
    max_rss: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory of a worker, as in 2G.")] = None,
    log: Annotated[str, typer.Option(metavar="text|json", help="Form of the log lines on stderr.")] = "text",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every job.")] = False,
    progress: Annotated[bool, typer.Option(help="Show progress of a drain on a terminal.")] = True,
    summary: Annotated[str | None, typer.Option(metavar="FILE", help="Write the totals to FILE, as JSON.")] = None,
    root: RootOption = None,
) -> None:
    """Run jobs: a supervisor and its worker processes.

    SIGTERM or Ctrl-C: finish what runs, within the grace time; again: give it back at once. SIGHUP: finish, then start
    anew with fresh code. SIGTSTP / SIGCONT: pause, go on.
    """
    from workqueue.run.events import emit, log_to_stderr
    from workqueue.run.worker import Worker

    if log not in {"text", "json"}:
        raise BadSetting(f"--log {log!r}: text or json")
    log_to_stderr(as_json=log == "json", verbose=verbose)
    found: Any = None if handler is None else load(handler)
    if found is not None and isinstance(found, str):
        emit("importing")
    outcome = Worker(
        root_path(context, root),
        handler=found,
        program=program,
        queues=queues or [DEFAULT_QUEUE],
        processes=processes,
        max_attempts=max_attempts,
        backoff=backoff,
        timeout=timeout,
        keep_done=keep_done,
        reject_limit=reject_limit,
        max_jobs=max_jobs,
        max_rss=max_rss,
        grace=grace,
    ).run(drain=drain, progress=progress and drain and log == "text" and sys.stderr.isatty())
    if summary is not None:
        write_summary(summary, outcome)
    if outcome.restart:
        start_anew()
    raise typer.Exit(status_of(outcome, drain=drain))


def load(spec: str) -> Any:
    """The handler, imported once for all workers; or its name, where that would start threads in this process."""
    from workqueue.run.handler import load_handler

    handler = imported(lambda: load_handler(spec))
    return spec if handler is None else handler.call


def imported(find: Callable[[], T]) -> T | None:
    """What is found by importing a module; None where that must be done by each worker, for it starts threads."""
    if os.environ.get(IMPORT_IN_WORKERS):
        return None
    found = find()
    if len(os.listdir("/proc/self/task")) > 1:
        os.environ[IMPORT_IN_WORKERS] = "1"
        start_anew()
    return found


def start_anew() -> None:
    """Become a fresh process of the same command."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Our own command again.
    os.execv(sys.executable, [sys.executable, "-m", "workqueue", *sys.argv[1:]])  # noqa: S606


def status_of(outcome: Summary, *, drain: bool) -> int:
    """The exit status of a worker that ended in order."""
    if outcome.error:
        return 1
    if drain and not outcome.drained:
        return NOT_DRAINED
    return SOME_FAILED if drain and outcome.failed + outcome.corrupt else 0


def write_summary(path: str, outcome: Summary) -> None:
    """Write the totals; whoever waits for the file sees it whole."""
    with told("write the summary", path), open(f"{path}.tmp", "wb") as file:
        file.write(msgspec.json.encode(asdict(outcome)) + b"\n")
    os.replace(f"{path}.tmp", path)
