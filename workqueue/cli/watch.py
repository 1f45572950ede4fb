"""fsq watch."""

from __future__ import annotations

import logging
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workqueue.cli.app import JsonOption, QueueOption, RootOption, app, open_engine
from workqueue.engine.root import DEFAULT_QUEUE

if TYPE_CHECKING:
    from workqueue.pipeline.watch.account import Summary

SOME_NOT_TAKEN = 3
STOPPED = 75
"""--once was stopped before its end: whoever waits for it must not go on."""


@app.command(
    epilog="Examples:  fsq watch /srv/in -q load --include '*.csv'  ·"
    "  fsq watch /srv/in --ready 'done-file={}.ok' --archive '/srv/kept/{date}/{name}'  ·"
    "  fsq watch /mnt/share --leave --recursive --once"
)
def watch(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder.")],
    queue: QueueOption = DEFAULT_QUEUE,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only names that fit, as '*.csv'; may be given again.", show_default=False
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="No names that fit; may be given again.", show_default=False),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Sub-directories, too.")] = False,
    all_names: Annotated[
        bool, typer.Option("--all-names", help="Hidden and temporary names (.*, *.part, *.tmp, *~ …), too.")
    ] = False,
    ready: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="When a file is complete: rename (as it is seen), close (nobody has it open for writing), stable=5s"
            " (and unchanged for so long), age=1m (its last change is so long ago), done-file={}.ok (there is a"
            " file of this name).",
        ),
    ] = "stable=5s",
    archive: Annotated[
        str, typer.Option(metavar="PATH", help="Keep each file here, as in /kept/{date}/{name}.", show_default=False)
    ] = "",
    dedupe: Annotated[
        str | None,
        typer.Option(
            metavar="BY",
            help="What makes a file the same as an earlier one: none, name, name+size, name+size+mtime, sha256.",
            show_default="none; with --leave name+size+mtime",
        ),
    ] = None,
    leave: Annotated[
        bool, typer.Option("--leave", help='Files stay where they are; the payload is {"path": …}, not the file.')
    ] = False,
    forget: Annotated[
        str | None, typer.Option(metavar="AGE", help="Forget files that are older, and gone.", show_default="never")
    ] = None,
    rescan: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="List the folder so often.", show_default="1m; 5s where nothing tells"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Take what is complete, then end.")] = False,
    priority: Annotated[int, typer.Option("--priority", "-p", help="0 runs first, 9 last.")] = 5,
    max_attempts: Annotated[int | None, typer.Option(help="Starts before a job is put into failed/.")] = None,
    timeout: Annotated[str | None, typer.Option(help="How long one run may take.")] = None,
    keep: Annotated[str | None, typer.Option(help="Keep the outcome in done/ for so long.")] = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Make a job of each complete file in a folder, exactly once, also across restarts and kill -9.

    Prints the id and the name of each. SIGTERM or Ctrl-C: end after the batch at hand.
    """
    from workqueue.pipeline.watch.rules import job_options, rules
    from workqueue.pipeline.watch.stop import Stop
    from workqueue.pipeline.watch.telling import as_lines, as_text
    from workqueue.pipeline.watch.watcher import watching

    quiet_watchdog()
    engine = open_engine(context, root)
    checked = rules(
        engine.root.path,
        folder,
        queue=queue,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        recursive=recursive,
        all_names=all_names,
        ready=ready,
        archive=archive,
        dedupe=dedupe,
        leave=leave,
        forget=forget,
        rescan=rescan,
        priority=priority,
        options=job_options(max_attempts=max_attempts, timeout=timeout, keep=keep),
    )
    tell = as_lines if as_json else as_text
    with Stop() as stop, watching(engine, checked, tell) as watcher:
        tell("watching", {"folder": checked.folder, "queue": queue})
        summary = watcher.once(stop) if once else watcher.run(stop)
        tell("summary", asdict(summary))
    if stop.number == signal.SIGINT:
        raise KeyboardInterrupt
    raise typer.Exit(status_of(summary, once=once, stopped=stop.is_set))


def quiet_watchdog() -> None:
    """Keep watchdog's warnings off stderr: it tells of lost events, after which the folder is listed."""
    logger = logging.getLogger("watchdog")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


def status_of(summary: Summary, *, once: bool, stopped: bool) -> int:
    """The exit status of a watch that ended in order."""
    if not once:
        return 0
    if stopped:
        return STOPPED
    return SOME_NOT_TAKEN if summary.unreadable else 0
