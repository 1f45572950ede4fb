"""fsq log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from workqueue.cli.app import (
    SHORTEST_END,
    JsonOption,
    QueuesOption,
    RootOption,
    app,
    chosen_queues,
    find_job,
    open_engine,
    say,
)
from workqueue.cli.output import shown
from workqueue.cli.when import SinceOption, UntilOption, moment_of
from workqueue.engine.settings import suggestion
from workqueue.errors import BadSetting, NoSuchJob
from workqueue.jobs import ids
from workqueue.jobs.ids import milliseconds, moment
from workqueue.run.events import ALL_EVENTS, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.history import Entry

ON_A_TERMINAL = 100
"""Lines that are shown where a person reads them, unless told otherwise."""
CLOCKS_APART = 86_400_000
"""Milliseconds by which the clock of a job's producer may have been ahead."""
PAUSE = 0.3
"""Seconds between looks for more."""


@app.command(
    epilog="Examples:  fsq log --since 1h  ·  fsq log 01JD8Z7Q4M9X3V2T6B1C0N5KEY  ·"
    "  fsq log -q load --event failed --since yesterday --json | jq .error  ·  fsq log --follow"
)
def log(
    context: typer.Context,
    job_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The life of one job: its id, or the unique end of one.")
    ] = None,
    queues: QueuesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--event", "-e", metavar="EVENT", help="Only this event, as in failed; may be given again."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-l", min=0, help="Only the last so many; 0 shows all.", show_default="100 on a terminal"
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Show what happened: the journal of all workers, supervisors and operators, by time."""
    from workqueue.engine.history import History

    engine = open_engine(context, root)
    clock = engine.root.clock
    wanted = set(chosen_queues(engine, queues)) if queues else None
    kinds = checked_events(events)
    ending = checked_id(job_id)
    start = moment_of(since, "--since", clock)
    if start is None:
        start = milliseconds(ending) - CLOCKS_APART if len(ending) == ids.LENGTH else 0
    history = History(engine.root, start, moment_of(until, "--until", clock))

    def is_wanted(entry: Entry) -> bool:
        return (
            (wanted is None or entry.queue in wanted)
            and (kinds is None or entry.event in kinds)
            and entry.id.endswith(ending)
        )

    if limit is None:
        limit = ON_A_TERMINAL if (follow or sys.stdout.isatty()) and not (as_json or ending) else 0
    if limit:
        found: Iterable[Entry] = history.last(limit, is_wanted, ending.encode())
    else:
        found = filter(is_wanted, history.in_order(ending.encode()))
    if job_id is not None:
        found = life(engine, job_id, list(found), whole=kinds is None and since is None and not limit)
    count = print_entries(found, as_json=as_json)
    if limit and count == limit:
        say(f"… the last {limit}; --limit 0 shows all")
    while follow:
        sys.stdout.flush()
        clock.sleep(PAUSE)
        print_entries(filter(is_wanted, history.more(ending.encode())), as_json=as_json)


def checked_events(events: list[str] | None) -> set[str] | None:
    """The events that were named, each known."""
    for event in events or ():
        if event not in ALL_EVENTS:
            raise BadSetting(f"--event {event!r}: no event is called that{suggestion(event, list(ALL_EVENTS))}")
    return set(events) if events else None


def checked_id(text: str | None) -> str:
    """An id, or the end of one; "" for all."""
    ending = (text or "").strip().upper()
    is_one = SHORTEST_END <= len(ending) <= ids.LENGTH and set(ending) <= set(ids.ALPHABET)
    if text is not None and not is_one:
        raise BadSetting(f"job id {text!r}: 26 characters, or the last {SHORTEST_END} or more of them")
    return ending


def life(engine: DirectoryEngine, text: str, found: list[Entry], *, whole: bool) -> list[Entry]:
    """One job's entries, from its submit on where all are wanted; says where it is now."""
    from workqueue.engine.history import decoded

    known = {entry.id for entry in found}
    if len(known) > 1:
        raise BadSetting(f"{len(known)} jobs have ids that end in {text}: give more of it")
    try:
        where = find_job(engine, known.copy().pop() if known else text)
    except NoSuchJob as error:
        if not known:
            raise NoSuchJob(f"{error}; nor is it in the journal, or no longer (setting journal)") from None
        where = None
    if where is not None:
        slot = f", by the worker in slot {where.name.owner.slot}" if where.name.owner else ""
        say(f"now in {where.state}{slot}")
    job_id = known.pop() if known else where.name.id if where else ""
    queue = found[0].queue if found else where.queue if where else ""
    if whole and job_id:
        fields = {"t": milliseconds(job_id), "event": "submitted", "queue": queue, "id": job_id}
        found[:0] = filter(None, [decoded(msgspec.json.encode(fields))])
    return found


def print_entries(found: Iterable[Entry], *, as_json: bool) -> int:
    """Print entries; returns how many."""
    count = 0
    for count, entry in enumerate(found, 1):  # noqa: B007 - the last one counts
        print_entry(entry, as_json=as_json)
    return count


def print_entry(entry: Entry, *, as_json: bool) -> None:
    """Print an entry as the log of a worker has it, with its date; or as it is in the journal."""
    if as_json:
        sys.stdout.write(entry.line.decode() + "\n")
        return
    when = moment(entry.t).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    print(f"{when} {shown(sentence(entry.event, fields_of(entry)))}")


def fields_of(entry: Entry) -> dict[str, Any]:
    """All that a line says."""
    fields: dict[str, Any] = msgspec.json.decode(entry.line)
    return fields
