"""fsq run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workqueue.cli import complain
from workqueue.cli.app import RootOption, app, root_path, say
from workqueue.cli.output import print_json
from workqueue.cli.worker import imported, start_anew, status_of, write_summary
from workqueue.errors import BadPipeline, BadSetting

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.pipeline.outcome import Outcome
    from workqueue.pipeline.plans import Plan
    from workqueue.run.handler import Handler

GOES_ON = "FSQ_RUN_GOES_ON"
"""The id of the run that starts anew with fresh code, for the process that goes on with it."""


@app.command(
    epilog="Examples:  fsq run etl:flights --drain  ·  fsq run ./etl.py:flights -n 8  ·"
    "  fsq run etl:flights --drain --html report.html"
)
def run(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(metavar="MODULE:PIPELINE", help="The pipeline: a name in a module.")],
    processes: Annotated[
        int | None,
        typer.Option("--processes", "-n", min=1, help="Worker processes.", show_default="cores, or the stages' own"),
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="End when no job is ready, running or to be retried")] = False,
    grace: Annotated[str | None, typer.Option(help="Time to finish after a stop or a timeout.")] = None,
    max_jobs: Annotated[int | None, typer.Option(min=1, help="Replace a worker after so many jobs.")] = None,
    max_rss: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory of a worker, as in 2G.")] = None,
    log: Annotated[str, typer.Option(metavar="text|json", help="Form of the log lines on stderr.")] = "text",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every job.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a bar for each stage on a terminal.")] = True,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write the report as a page with charts, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
    summary: Annotated[str | None, typer.Option(metavar="FILE", help="Write the totals to FILE, as JSON.")] = None,
    root: RootOption = None,
) -> None:
    """Run a pipeline: one supervisor for all of its stages, and a report at the end.

    Workers go where the work is. Signals are those of fsq worker: TERM or Ctrl-C stops, HUP starts anew with fresh
    code.
    """
    from workqueue.pipeline.page import check_page
    from workqueue.pipeline.running import RunWishes, run_plan
    from workqueue.run.events import log_to_stderr

    if log not in {"text", "json"}:
        raise BadSetting(f"--log {log!r}: text or json")
    if html is not None:
        check_page(html)
    log_to_stderr(as_json=log == "json", verbose=verbose)
    try:
        plan, load = load_plan(pipeline)
        wishes = RunWishes(
            drain=drain,
            processes=processes,
            max_jobs=max_jobs,
            max_rss=max_rss,
            grace=grace,
            display=progress and log == "text" and sys.stderr.isatty(),
            run=os.environ.pop(GOES_ON, ""),
        )
        outcome = run_plan(plan, load, root_path(context, root), wishes)
    except BadPipeline as error:
        for problem in error.problems:
            complain(BadPipeline(problem), error.exit_status)
        raise typer.Exit(error.exit_status) from None
    if summary is not None:
        write_summary(summary, outcome.summary)
    if outcome.summary.restart:
        os.environ[GOES_ON] = outcome.run.id
        start_anew()
    report_on(outcome, html, as_json=as_json)
    raise typer.Exit(status_of(outcome.summary, drain=drain))


def load_plan(spec: str) -> tuple[Plan, Callable[[], Handler]]:
    """The pipeline's plan, and what gives a worker its handlers."""
    from workqueue.pipeline.loading import load_pipeline, planned_elsewhere
    from workqueue.run.events import emit
    from workqueue.run.handler import Handler

    found = imported(lambda: load_pipeline(spec))
    if found is None:
        emit("importing")
        return planned_elsewhere(spec), lambda: Handler.of(load_pipeline(spec))
    plan, handler = found.plan(), Handler.of(found)
    return plan, lambda: handler


def report_on(outcome: Outcome, html: str | None, *, as_json: bool) -> None:
    """Print what happened."""
    from workqueue.cli.report import print_report
    from workqueue.pipeline.page import page_of, write_page
    from workqueue.store.fs import FS

    found: dict[str, Any] = outcome.report()
    if sum(queue["done"] for queue in found["queues"]) < outcome.summary.done:
        say(f"the journal lacks some of this run, and so does the report; all in all: {outcome.summary}")
    if as_json:
        print_json(found)
    elif html != "-":
        print_report(found)
    if html == "-":
        sys.stdout.write(page_of(found))
    elif html is not None:
        write_page(FS, html, page_of(found))
        say(f"wrote {html}")
