"""fsq submit --each: a job for each file that matches a pattern."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any, Literal, cast

import typer

from workqueue.cli.app import say
from workqueue.cli.bulk import Tally, telling
from workqueue.errors import BadInput, NothingFound
from workqueue.pipeline import files, inputs, sources

if TYPE_CHECKING:
    from workqueue.producer import Producer


def submit_each(
    producer: Producer,
    patterns: list[str],
    *,
    payload: Any = None,
    mode: str | None,
    key: str | None,
    after: str | None,
    allow_empty: bool,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Submit a job for each file, in the order of their paths; what cannot be taken is told, and exits 1."""
    if mode is not None and payload is not None:
        raise BadInput("--each takes a payload or --mode: with --mode the file is the payload")
    if key is None and (options["key_for"] is not None or options["again"]):
        raise BadInput("--key-for and --again go with --key, such as --key '{path}'")
    payload = sources.FILE_PAYLOAD if payload is None else payload
    sources.check_file_templates(payload, key)
    found = files.matching(patterns, links=mode is None)
    refuse_nothing(found, allow_empty=allow_empty)
    if mode is None:
        leave_out_what_json_cannot_hold(found)
    for odd in found.odd:
        say(f"fsq: left out: {odd}")
    if found.directories:
        say(f"{found.directories} directories are left out")
    chosen = [file for file in found.files if after is None or file.path > os.path.abspath(after)]
    tally = Tally("files", len(chosen), options["queue"], as_json=as_json)
    if key is None and mode != "move":
        tally.go_on = lambda path: f"go on with --after {shlex.quote(path)}"
    made = sources.of_files(chosen, payload, key, whole=mode is not None)
    made = iter(list(made)) if key is not None else made  # two files of one key are refused before the first submit
    with telling(tally.how_far) as patience:
        inputs.submit(
            producer, patience.each(made), tally.print_ids, batches=key is None and mode is None,
            mode=cast("Literal['move', 'link', 'copy']", mode or "copy"), **options,
        )  # fmt: skip
    tally.say()
    if found.odd:
        raise typer.Exit(1)


def refuse_nothing(found: files.Matches, *, allow_empty: bool) -> None:
    """A pattern that no file has is more often a typing error than an empty folder."""
    if found.unmatched and not allow_empty:
        raise NothingFound(
            f"no file matches {' or '.join(map(repr, found.unmatched))}; nothing was submitted"
            " (--allow-empty if that is as it should be)"
        )


def leave_out_what_json_cannot_hold(found: files.Matches) -> None:
    """A name that is no UTF-8 cannot be told in JSON; the file itself can be the payload."""
    kept = []
    for file in found.files:
        try:
            file.path.encode()
        except UnicodeEncodeError:
            found.odd.append(f"{file.path}: JSON cannot hold a name that is no UTF-8; rename it, or use --mode copy")
        else:
            kept.append(file)
    found.files = kept
