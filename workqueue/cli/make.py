"""fsq init."""

from __future__ import annotations

import grp
import os
from typing import Annotated

import typer

from workqueue.cli.app import RootOption, app, say
from workqueue.engine.root import DEFAULT_QUEUE, SLOTS, init
from workqueue.errors import BadSetting

MOST_SLOTS = 65_536


@app.command("init", epilog="Example:  fsq init /var/spool/etl -q load -q publish")
def make(
    context: typer.Context,
    path: Annotated[str | None, typer.Argument(help="The directory; made if it is missing. Default: here.")] = None,
    queues: Annotated[
        list[str] | None, typer.Option("--queue", "-q", metavar="NAME", help="A queue to make; may be given again.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, max=MOST_SLOTS, help="Workers that can run at a time.")] = SLOTS,
    group: Annotated[str | None, typer.Option(help="Let this group use the root.", show_default=False)] = None,
    submit_only: Annotated[bool, typer.Option("--submit-only", help="The group may submit, but not look.")] = False,
    root: RootOption = None,
) -> None:
    """Make a queue root, or add queues and worker slots to one. Safe to run again."""
    if submit_only and group is None:
        raise BadSetting("--submit-only goes with --group")
    where = os.path.abspath(path or root or context.obj or os.getcwd())
    made = init(where, tuple(queues or (DEFAULT_QUEUE,)), slots=slots, group=group_id(group), submit_only=submit_only)
    say(f"{'made' if made else 'already there:'} queue root {where} with {', '.join(queues or [DEFAULT_QUEUE])}")


def group_id(name: str | None) -> int | None:
    """The number of a group."""
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise BadSetting(f"--group {name!r}: there is no such group") from None
