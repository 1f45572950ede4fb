"""fsq report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workqueue.cli.app import QueuesOption, RootOption, app, chosen_queues, open_engine, say
from workqueue.cli.output import print_json, shown
from workqueue.cli.when import SinceOption, UntilOption, moment_of
from workqueue.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 140
"""Columns where nobody tells how many there are."""
COLUMNS = (
    ("queue", "jobs", "done", "failed", "cancelled", "corrupt", "attempts", "retries", "deaths", "rejects", "done/s")
)  # fmt: skip
SPARKS = "▁▂▃▄▅▆▇█"


@app.command(
    epilog="Examples:  fsq report --since yesterday --until today  ·  fsq report -q load --since 1h --json  ·"
    "  fsq report --since 1d --html report.html  ·  fsq report --run last  ·  fsq report --batch G7PR1R0GWY00"
)
def report(
    context: typer.Context,
    since: SinceOption = None,
    until: UntilOption = None,
    queues: QueuesOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; times are ms since 1970, durations s.")
    ] = False,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Write a page with charts, complete in one file; - is stdout."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="ID", help="Only this run of a pipeline, from its start to its end; or last."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", metavar="ID", help="Only the members of this batch; its id, or the unique end of it."),
    ] = None,
    root: RootOption = None,
) -> None:
    """Report what was done, from the journal: jobs, failures, durations, throughput; and what lies in failed/ now."""
    from workqueue.cli.submit import refuse_with
    from workqueue.pipeline.page import page_of, write_page
    from workqueue.pipeline.report import Selection, make_report
    from workqueue.pipeline.runs import find_run

    if as_json and html is not None:
        raise BadSetting("--json or --html, not both")
    engine = open_engine(context, root)
    clock = engine.root.clock
    start, end = moment_of(since, "--since", clock), moment_of(until, "--until", clock)
    if start is not None and end is not None and end <= start:
        raise BadSetting(f"--until {until!r} is not after --since {since!r}")
    if run is not None:
        refuse_with("--run is a time and its queues", since=since, until=until, queue=queues)
        if batch is not None:
            raise BadSetting("--run or --batch, not both")
        selection = Selection.of(find_run(engine.root, run))
    elif batch is not None:
        from workqueue.cli.batches import find_batch

        refuse_with("--batch is its members, from its beginning", since=since, until=until, queue=queues)
        selection = Selection.of_batch(engine.root, find_batch(engine, batch).id)
    else:
        selection = Selection(start, end, frozenset(chosen_queues(engine, queues)) if queues else None)
    found = make_report(engine, selection).as_dict()
    if as_json:
        print_json(found)
    elif html == "-":
        sys.stdout.write(page_of(found))
    elif html is not None:
        write_page(engine.root.fs, html, page_of(found))
        say(f"wrote {html}")
    else:
        print_report(found)


def print_report(found: dict[str, Any]) -> None:
    """Print the report for a person; the same in a pipe, for a mail in the morning."""
    from workqueue.pipeline import page

    print(f"{shown(found['root'])}: {page.period(found)}")
    if found["batch"]:
        print(f"batch {found['batch']}")
    if found["run"]:
        print(f"pipeline {found['pipeline']}, run {found['run']}")
    if found["workers_died"]:
        print(f"{page.number(found['workers_died'])} workers died")
    if found["dropped"]:
        print(f"{page.number(found['dropped'])} lines are missing from the journal: the figures are too low")
    if not found["queues"]:
        print("nothing happened")
        return
    print_table(COLUMNS, [row(queue) for queue in found["queues"]])
    durations = [
        [queue["queue"], what, *map(page.duration, queue[key].values())]
        for queue in found["queues"]
        for key, what in (("run", "run"), ("waiting", "waiting for the first"))
        if queue[key]["p50"] is not None
    ]
    print_table(("queue", "duration of", "mean", "p50", "p95", "max"), durations)
    for queue in found["queues"]:
        print_details(queue)


def row(queue: dict[str, Any]) -> list[str]:
    """A queue's line of the first table."""
    from workqueue.pipeline import page

    rate = queue["done_per_second"]
    return [queue["queue"], *(page.number(queue[name]) for name in COLUMNS[1:-1]), page.rate(rate) if rate else "–"]


def print_details(queue: dict[str, Any]) -> None:
    """Print what a queue has to tell beside its counts."""
    from workqueue.pipeline import page

    name = queue["queue"]
    if len(queue["over_time"]) > 1:
        print(f"\n{name}: jobs ended, each {page.duration(queue['step'])}\n  {sparkline(queue['over_time'])}")
    if queue["counts"]:
        amounts = ", ".join(f"{shown(what)} {page.number(amount)}" for what, amount in queue["counts"].items())
        print(f"\n{name}: counted by its handlers: {amounts}")
    print_table(
        (f"{name}: cause", "attempts"), [[cause, page.number(count)] for cause, count in queue["causes"].items()]
    )
    print_table(
        (f"{name}: in failed/ now", "jobs", "one of them"),
        [[group["reason"], page.number(group["count"]), group["id"]] for group in queue["failed_now"]],
    )
    print_table(
        (f"{name}: slowest runs", "took", "label", "end"),
        [[run["id"], page.duration(run["took"]), run["label"], run["event"]] for run in queue["slowest"]],
    )
    print_table(
        (f"{name}: workers that died in a run", "when", "how", "then in"),
        [[death["id"], page.time(death["t"]), death["error"], death["state"]] for death in queue["last_deaths"]],
    )


def sparkline(rows: Sequence[dict[str, int]]) -> str:
    """Jobs ended over time, a character a step."""
    totals = [sum(count for name, count in row.items() if name != "t") for row in rows]
    most = max(totals)
    return "".join(SPARKS[-(-total * (len(SPARKS) - 1) // most)] if most else SPARKS[0] for total in totals)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with headings, wherever it goes; none where there is nothing in it."""
    if not rows:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        figures = all(str(row[index])[:1].isdigit() or str(row[index]) == "–" for row in rows)
        table.add_column(column, justify="right" if figures and index else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row))
    print()
    Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False).print(table)
