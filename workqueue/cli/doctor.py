"""fsq doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workqueue.cli.app import JsonOption, RootOption, app, root_path
from workqueue.cli.output import print_json, shown

if TYPE_CHECKING:
    from workqueue.doctor.findings import Finding


@app.command(epilog="Examples:  fsq doctor  ·  fsq doctor --fix  ·  fsq doctor --json | jq .message")
def doctor(
    context: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired while workers run.")] = False,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Examine a root: what is wrong, what it means for jobs, what to do. Exit 1 if a problem remains."""
    from workqueue.doctor.examination import doctor as examine

    report = examine(root_path(context, root), fix=fix)
    for finding in sorted(report.findings, key=rank):
        if as_json:
            print_json(described(finding))
        else:
            print(f"{'fixed' if finding.fixed else finding.level}: {shown(finding.path)}: {shown(finding.message)}")
            if not finding.fixed:
                print(f"    {shown(finding.remedy)}")
    if not as_json:
        print(report.summary)
    raise typer.Exit(report.status)


def rank(finding: Finding) -> tuple[bool, bool]:
    """Problems first, what was fixed last."""
    return finding.fixed, finding.level != "problem"


def described(finding: Finding) -> dict[str, str | bool]:
    """A finding as JSON."""
    return {
        "check": finding.check,
        "level": finding.level.value,
        "path": finding.path,
        "message": finding.message,
        "remedy": finding.remedy,
        "fixable": finding.repair is not None,
        "fixed": finding.fixed,
    }
