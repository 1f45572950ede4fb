"""fsq retry, cancel, hold, unhold, rm: an operator's verbs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from workqueue.cli.app import QueuesOption, RootOption, app, chosen_queues, find_job, open_engine, say
from workqueue.cli.look import states
from workqueue.errors import BadSetting, FsqError, WrongState
from workqueue.jobs.states import ARROWS, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Located

IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Job ids, or the unique end of one.", show_default=False),
]
AllOption = Annotated[
    str | None, typer.Option("--all", metavar="STATE", help="All jobs of a state, instead of ids.", show_default=False)
]


@app.command(epilog="Examples:  fsq retry 01JD8Z7Q4M9X3V2T6B1C0N5KEY  ·  fsq retry --all failed -q load")
def retry(
    context: typer.Context,
    ids: IdsArgument = None,
    every: AllOption = None,
    queues: QueuesOption = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Forget what the handler has saved: it begins anew.")
    ] = False,
    root: RootOption = None,
) -> None:
    """Run jobs now: from failed and corrupt with their attempts anew, from later without more waiting.

    A job whose handler has saved a checkpoint goes on from it.
    """
    engine = open_engine(context, root)
    retry_one = partial(engine.retry, from_start=from_start)
    apply(
        "retry",
        recorded(engine, "retried by hand", retry_one),
        chosen(engine, "retry", ids, every, queues),
        "ready again",
    )


@app.command(epilog="Example:  fsq cancel 01JD8Z7Q4M9X3V2T6B1C0N5KEY")
def cancel(
    context: typer.Context,
    ids: IdsArgument = None,
    every: AllOption = None,
    queues: QueuesOption = None,
    root: RootOption = None,
) -> None:
    """End jobs that have not ended. One that runs is stopped by its worker's supervisor."""
    engine = open_engine(context, root)

    def end(found: Located) -> bool:
        state = engine.cancel(found)
        if state is not None:
            engine.record("cancel ordered" if state is State.CUR else "cancelled by hand", found)
        if state is State.CUR:
            say(f"{found.name.id} is running: its worker is told to stop")
        return state is not None

    apply("cancel", end, chosen(engine, "cancel", ids, every, queues), "cancelled")


@app.command(epilog="Examples:  fsq hold 01JD8Z7Q4M9X3V2T6B1C0N5KEY  ·  fsq hold --all new -q load")
def hold(
    context: typer.Context,
    ids: IdsArgument = None,
    every: AllOption = None,
    queues: QueuesOption = None,
    root: RootOption = None,
) -> None:
    """Keep jobs back that wait (new, later), until unhold. One that runs is not held, and goes on.

    A held job keeps its key, its attempts and what it has saved. No drain waits for it. Later submits are not held.
    """
    engine = open_engine(context, root)
    apply("hold", recorded(engine, "held by hand", engine.hold), chosen(engine, "hold", ids, every, queues), "held")


@app.command(epilog="Examples:  fsq unhold 01JD8Z7Q4M9X3V2T6B1C0N5KEY  ·  fsq unhold --all held -q load")
def unhold(
    context: typer.Context,
    ids: IdsArgument = None,
    every: AllOption = None,
    queues: QueuesOption = None,
    root: RootOption = None,
) -> None:
    """Make held jobs ready now, also those whose time has not come: with the attempts that they have had."""
    engine = open_engine(context, root)
    change = recorded(engine, "unheld by hand", engine.unhold)
    apply("unhold", change, chosen(engine, "unhold", ids, every, queues), "ready again")


@app.command(epilog="Examples:  fsq rm 01JD8Z7Q4M9X3V2T6B1C0N5KEY  ·  fsq rm --all failed -q load")
def rm(
    context: typer.Context,
    ids: IdsArgument = None,
    every: AllOption = None,
    queues: QueuesOption = None,
    root: RootOption = None,
) -> None:
    """Remove jobs that have ended (done, failed, corrupt), with all that is kept of them."""
    engine = open_engine(context, root)
    apply("rm", recorded(engine, "removed", engine.remove), chosen(engine, "prune", ids, every, queues), "removed")


def recorded(engine: DirectoryEngine, event: str, change: Callable[[Located], bool]) -> Callable[[Located], bool]:
    """The change, written down in the journal when it was made."""

    def changed(found: Located) -> bool:
        done = change(found)
        if done:
            engine.record(event, found)
        return done

    return changed


def chosen(
    engine: DirectoryEngine, verb: str, ids: list[str] | None, every: str | None, queues: list[str] | None
) -> Iterator[Located]:
    """The jobs that were named, or all of a state; an id that is none is told when the others are through."""
    if bool(ids) == (every is not None):
        raise BadSetting("give job ids, or --all STATE")
    if every is not None:
        [state] = states(every)
        if state not in ARROWS[verb].sources:
            raise BadSetting(f"--all {every}: it takes jobs from {', '.join(s for s in ARROWS[verb].sources if s)}")
        for queue in chosen_queues(engine, queues):
            yield from engine.scan(queue, state)
    unknown: FsqError | None = None
    for text in ids or ():
        try:
            found = find_job(engine, text)
        except FsqError as error:
            unknown = unknown or error
        else:
            yield found
    if unknown is not None:
        raise unknown


def apply(verb: str, change: Callable[[Located], bool], jobs: Iterator[Located], done: str) -> None:
    """Change each job; the first problem decides the exit status, and the others are still done."""
    tried = count = 0
    problem: FsqError | None = None
    try:
        for tried, found in enumerate(jobs, 1):  # noqa: B007 - how many it came to
            try:
                if change(found):
                    count += 1
                else:
                    moved_on = f"{verb} {found.name.id}: it moved on meanwhile; look again: fsq show"
                    problem = problem or WrongState(moved_on)
            except FsqError as error:
                problem = problem or error
    except FsqError as error:
        problem = problem or error
    if tried or problem is None:
        say(f"{count} {done}")
    if problem is not None:
        raise problem
