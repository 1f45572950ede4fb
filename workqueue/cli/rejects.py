"""fsq resubmit."""

from __future__ import annotations

from typing import Annotated

import typer

from workqueue.cli.app import JsonOption, QueueOption, RootOption, app, root_path, say
from workqueue.cli.output import print_json
from workqueue.engine.root import DEFAULT_QUEUE, Root
from workqueue.errors import BadInput
from workqueue.producer import Producer


@app.command(
    epilog="Examples:  fsq resubmit 01JD8Z7Q4M9X3V2T6B1C0N5KEY -q load  ·  fsq resubmit --all -q load",
)
def resubmit(
    context: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="Jobs that rejected records, or files in QUEUE/rejected."),
    ] = None,
    queue: QueueOption = DEFAULT_QUEUE,
    every: Annotated[bool, typer.Option("--all", help="All rejected records of the queue.")] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="NAME", help="The queue for the jobs. Default: the same."),
    ] = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Make jobs of rejected records, when what was wrong is mended: a job a file, exactly once; print their ids.

    The handler reads the records by workqueue.pipeline.read_rejects.
    """
    from workqueue.pipeline import rejects

    where = Root(root_path(context, root))
    if bool(ids) == every:
        count = len(rejects.files(where, queue))
        raise BadInput(f"give job ids, or --all: queue {queue!r} has {count} files of rejected records")
    target = to or queue
    where.space(target, "new")
    producer = Producer(where.path)
    paths = rejects.files(where, queue) if every else rejects.chosen(where, queue, ids or [])
    for path in paths:
        ref = rejects.resubmit(producer, where, path, target)
        if as_json:
            print_json({"id": ref.id, "queue": target, "file": path})
        else:
            print(ref.id, flush=True)
    say(f"{len(paths)} submitted to queue {target!r}")
