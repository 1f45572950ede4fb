"""fsq split, fsq backfill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workqueue.cli.app import JsonOption, QueueOption, RootOption, app, open_engine, root_path, say
from workqueue.cli.bulk import Tally, telling
from workqueue.cli.job_options import (
    AgainOption,
    AtOption,
    AttemptsOption,
    DelayOption,
    ExpiresOption,
    HeaderOption,
    KeepOption,
    PriorityOption,
    RejectLimitOption,
    TimeoutOption,
    VolatileOption,
    job_options,
)
from workqueue.cli.output import print_json, print_rows
from workqueue.cli.submit import read_payload
from workqueue.engine.root import DEFAULT_QUEUE
from workqueue.errors import BadInput, BadSetting
from workqueue.jobs.states import State
from workqueue.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workqueue.pipeline.inputs import Input

MOST = 100_000
"""Partitions: more are more often a typing error in a year."""
TEN_YEARS = "3650d"


@app.command(
    epilog="Examples:  fsq split big.csv --lines 10000 --header -q load  ·  fsq split log.jsonl --bytes 64M --once"
)
def split(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text file: lines, or CSV.")],
    queue: QueueOption = DEFAULT_QUEUE,
    lines: Annotated[int | None, typer.Option("--lines", help="Records in a piece.")] = None,
    size: Annotated[str | None, typer.Option("--bytes", metavar="SIZE", help="Bytes of a piece at most: 64M.")] = None,
    header: Annotated[bool, typer.Option("--header", help="The first record goes with each piece.")] = False,
    csv: Annotated[
        bool | None,
        typer.Option(
            "--csv/--plain",
            help="A record ends where CSV's quotes say, or at each newline. Default: by the name, .csv and .tsv.",
            show_default=False,
        ),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What divides CSV's fields: one character, or tab.", show_default=False)
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="The payload is the piece itself, not where it lies.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Submit no piece that waits or runs already, of the same unchanged file.")
    ] = False,
    key_for: Annotated[str | None, typer.Option(help="With --once: nor for so long after its end.")] = None,
    again: AgainOption = False,
    skip: Annotated[int, typer.Option(min=0, help="Leave out so many pieces: they are submitted already.")] = 0,
    delay: DelayOption = None,
    at: AtOption = None,
    priority: PriorityOption = 5,
    max_attempts: AttemptsOption = None,
    timeout: TimeoutOption = None,
    expires: ExpiresOption = None,
    keep: KeepOption = None,
    reject_limit: RejectLimitOption = None,
    label: Annotated[str, typer.Option(help="A name for people. Default: the file's, with the piece's number.")] = "",
    volatile: VolatileOption = False,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Cut a file into pieces of whole records, a job each. Nothing is copied: a job says which bytes are its own."""
    from workqueue.pipeline import inputs, pieces, sources

    options = job_options(
        queue=queue, delay=delay, at=at, priority=priority, max_attempts=max_attempts, timeout=timeout,
        expires=expires, keep=keep, reject_limit=reject_limit, label=label, volatile=volatile,
    )  # fmt: skip
    if not once and (key_for is not None or again):
        raise BadSetting("--key-for and --again go with --once")
    open_engine(context, root).root.space(queue, State.NEW)
    found = pieces.split(
        file, lines=lines, size=size, header=header, csv=csv, delimiter="\t" if delimiter == "tab" else delimiter
    )
    if not found:
        say(f"{file}: {'nothing behind its header' if found.header else 'empty'}; 0 jobs")
        return
    if skip >= len(found):
        raise BadInput(f"--skip {skip}: there are {len(found)} pieces")
    tally = Tally("pieces", len(found) - skip, queue, as_json=as_json)
    tally.go_on = lambda _: "the same command goes on" if once else f"go on with --skip {skip + tally.submitted}"
    made = sources.of_pieces((found[number] for number in range(skip, len(found))), copy=copy, once=once)
    with telling(tally.how_far) as patience:
        inputs.submit(
            Producer(root_path(context, root)), patience.each(made), tally.print_columns,
            batches=not (copy or once), key_for=key_for, again=again, **options,
        )  # fmt: skip
    tally.say()


@app.command(
    epilog='Examples:  fsq backfill --from 2013-01-01 --to 2013-12-31 --each day -q extract --payload \'{"day":'
    ' "{date}"}\'  ·  fsq backfill --from 2013 --to 2014 --each month --dry-run'
)
def backfill(
    context: typer.Context,
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="Where it begins: 2013-01-01, 2013-01, 2013.")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="Where it ends; that day or month is included.")],
    each: Annotated[
        str, typer.Option(help="hour, day, week, month, quarter, year, or a part of the day: 15m, 6h.")
    ] = "day",
    queue: QueueOption = DEFAULT_QUEUE,
    payload: Annotated[
        str | None,
        typer.Option(
            help="JSON, in its texts {date} {start} {end} {last} {year} {month} {day} {hour} … of each partition;"
            " @FILE reads it. Default: {start} and {end}.",
            show_default=False,
        ),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The payload is text as it is, not JSON.")] = False,
    zone: Annotated[str, typer.Option(help="Whose hours they are, such as Europe/Berlin.")] = "UTC",
    key: Annotated[
        str | None,
        typer.Option(help="The key of a partition, with {date} or the like. Default: one of partition and payload."),
    ] = None,
    key_for: Annotated[str, typer.Option(help="Submit no partition again for so long after its end.")] = TEN_YEARS,
    again: Annotated[
        bool, typer.Option("--again", help="Submit those that have ended again; not those that wait or run.")
    ] = False,
    reverse: Annotated[bool, typer.Option("--reverse", help="The newest first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the partitions and submit nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help=f"Also more than {MOST:,} partitions.")] = False,
    delay: DelayOption = None,
    at: AtOption = None,
    priority: PriorityOption = 5,
    max_attempts: AttemptsOption = None,
    timeout: TimeoutOption = None,
    expires: ExpiresOption = None,
    keep: KeepOption = None,
    reject_limit: RejectLimitOption = None,
    header: HeaderOption = None,
    label: Annotated[str, typer.Option(help="A name for people. Default: where the partition starts.")] = "",
    volatile: VolatileOption = False,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Submit a job for each day, month, hour … of a range. Run again it submits what is neither there nor done."""
    from workqueue.pipeline import inputs

    options = job_options(
        queue=queue, delay=delay, at=at, priority=priority, max_attempts=max_attempts, timeout=timeout,
        expires=expires, keep=keep, reject_limit=reject_limit, header=header, label=label, volatile=volatile,
    )  # fmt: skip
    open_engine(context, root).root.space(queue, State.NEW)
    made = jobs_of_partitions(first, last, each, zone=zone, yes=yes, payload=payload, raw=raw, key=key)
    if reverse:
        made.reverse()
    if dry_run:
        show(made, as_json=as_json)
        return
    producer = Producer(root_path(context, root))
    tally = Tally("partitions", len(made), queue, as_json=as_json)
    with telling(tally.how_far) as patience:
        inputs.submit(
            producer, patience.each(made), tally.print_columns, batches=False, key_for=key_for, again=again, **options
        )
    tally.say()
    if tally.there:
        living, failed, ended = inputs.whereabouts(producer, queue, set(tally.there))
        say(
            f"those there: {living} wait or run, {failed} have failed (fsq retry --all failed -q {queue}),"
            f" {ended} have ended or were cancelled (--again submits them once more)"
        )


def jobs_of_partitions(
    first: str, last: str, each: str, *, zone: str, yes: bool, payload: str | None, raw: bool, key: str | None
) -> list[Input]:
    """What to submit; all of it is checked before the first is."""
    from workqueue.pipeline import partitions, sources

    found = partitions(first, last, each, zone=zone)
    if found.about > MOST and not yes:
        raise BadInput(f"from {first} to {last}: about {found.about:,} partitions; --yes if that is what you want")
    template: Any = sources.PARTITION_PAYLOAD if payload is None else read_payload(payload, raw=raw)
    return list(sources.of_partitions(found, template, key))


def show(made: Sequence[Input], *, as_json: bool) -> None:
    """Print what would be submitted."""
    from workqueue.jobs.content import encode_payload

    if as_json:
        for each in made:
            print_json({**each.facts, "payload": each.payload})
        return
    rows = [
        [each.what, each.facts["end"], encode_payload(each.payload)[0].decode(errors="replace"), each.key]
        for each in made
    ]
    print_rows(["start", "end", "payload", "key"], rows)
    say(f"{len(made)} partitions; nothing was submitted. Those that are there or done would be left out")
