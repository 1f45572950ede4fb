"""fsq submit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec
import typer

from workqueue.cli.app import JsonOption, QueueOption, RootOption, app, root_path
from workqueue.engine.newjob import NOTHING
from workqueue.engine.root import DEFAULT_QUEUE
from workqueue.errors import BadInput, BadPayload, FsqError, NoSuchJob
from workqueue.jobs.states import State
from workqueue.producer import JobRef, Producer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEEP_WHILE_WAITING = "1h"


@app.command(
    epilog="Examples:  fsq submit '{\"n\": 1}'  ·  fsq submit --file big.csv --mode move -q load  ·"
    "  cut -f1 list | fsq submit --lines"
)
def submit(
    context: typer.Context,
    payload: Annotated[
        str | None,
        typer.Argument(help="JSON; - reads it from stdin, @FILE from a file.", show_default=False),
    ] = None,
    queue: QueueOption = DEFAULT_QUEUE,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="F", help="The file is the payload.", show_default=False)
    ] = None,
    mode: Annotated[str, typer.Option(help="How --file comes into the queue: move, link or copy.")] = "copy",
    raw: Annotated[bool, typer.Option("--raw", help="The payload is text or bytes as they are, not JSON.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of stdin is a job, as text.")] = False,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Each line of stdin is a job, as JSON.")] = False,
    delay: Annotated[str | None, typer.Option(help="Not before this has passed: 90s, 10m, 1h30m.")] = None,
    at: Annotated[str | None, typer.Option(help="Not before this time: 2026-07-01T04:00+02:00.")] = None,
    priority: Annotated[int, typer.Option("--priority", "-p", help="0 runs first, 9 last.")] = 5,
    key: Annotated[str | None, typer.Option(help="While a job with this key lives, no second is made.")] = None,
    key_for: Annotated[str | None, typer.Option(help="Keep the key taken for so long after the job's end.")] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Starts before it is put into failed/.")] = None,
    timeout: Annotated[str | None, typer.Option(help="How long one run may take.")] = None,
    expires: Annotated[str | None, typer.Option(help="Fail it if it was not started within this time.")] = None,
    keep: Annotated[str | None, typer.Option(help="Keep the outcome in done/ for so long.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="NAME=TEXT", help="Given beside the payload.")
    ] = None,
    label: Annotated[str, typer.Option(help="A name for people, seen in ls.")] = "",
    volatile: Annotated[bool, typer.Option("--volatile", help="Survive kill -9, but not a power cut; faster.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end: exit 0 if done, 1 if failed.")] = False,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Submit a job, and print its id. When this exits 0 the job survives kill -9 and a power cut."""
    options: dict[str, Any] = {
        "queue": queue, "delay": delay, "at": at, "priority": priority, "max_attempts": max_attempts,
        "timeout": timeout, "expires": expires, "keep": keep, "headers": headers(header), "label": label,
        "durable": not volatile,
    }  # fmt: skip
    producer = Producer(root_path(context, root))
    if lines or json_lines:
        refuse_with_lines(payload=payload, file=file, key=key, wait=wait)
        submit_lines(producer, options, as_json=as_json, decode=json_lines)
        return
    if wait and keep is None:
        options["keep"] = KEEP_WHILE_WAITING
    given = read_payload(payload, raw=raw) if file is None else NOTHING
    if file is not None and payload is not None:
        raise BadInput("submit takes a payload or --file, one of them")
    way = cast("Literal['move', 'link', 'copy']", mode)
    ref = producer.submit(given, file=file, mode=way, key=key, key_for=key_for, **options)
    print_ref(ref, as_json=as_json)
    if wait:
        raise typer.Exit(0 if ends_well(ref) else 1)


def ends_well(ref: JobRef) -> bool:
    """Wait for the job's end; one that was here and is nowhere has ended, and was not kept."""
    try:
        return ref.wait() in {State.DONE, None}
    except NoSuchJob:
        return True


def refuse_with_lines(**given: object) -> None:
    """Say what cannot be combined with --lines."""
    for name, value in given.items():
        if value:
            raise BadInput(f"--lines takes its jobs from stdin: it does not go with {name}")


def submit_lines(producer: Producer, options: dict[str, Any], *, as_json: bool, decode: bool) -> None:
    """Submit stdin line by line, in batches that are each all or nothing; print the ids of each when it is safe."""
    form = f'{{"id":"%s","queue":"{options["queue"]}"}}\n' if as_json else "%s\n"
    submitted = 0

    def print_ids(ids: Sequence[str]) -> None:
        nonlocal submitted
        submitted += len(ids)
        sys.stdout.writelines(form % job_id for job_id in ids)
        sys.stdout.flush()

    try:
        producer.submit_many(stdin_lines(decode=decode), **options, on_batch=print_ids)
    except FsqError as error:
        error.add_note(f"{submitted} lines are submitted; go on from line {submitted + 1}")
        raise


def stdin_lines(*, decode: bool) -> Iterator[Any]:
    """The lines of stdin without their ends; text that is no UTF-8 stays bytes."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        text = line.rstrip(b"\r\n")
        if decode:
            yield from_json(text, f"line {number} of stdin")
        else:
            yield text_or_bytes(text)


def read_payload(argument: str | None, *, raw: bool) -> Any:
    """The payload that the argument names."""
    if argument is None:
        raise BadInput("""no payload: give JSON such as '{"n": 1}', - for stdin, @FILE, or --file F""")
    if argument == "-":
        data, where = sys.stdin.buffer.read(), "stdin"
    elif argument.startswith("@"):
        data, where = read_file(argument[1:]), argument[1:]
    else:
        data, where = os.fsencode(argument), "payload"
    return text_or_bytes(data) if raw else from_json(data, where)


def read_file(path: str) -> bytes:
    """A file's content."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadInput(f"@{path}: {error.strerror}") from None


def from_json(data: bytes, where: str) -> Any:
    """Decode JSON."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        start = data[:40].decode(errors="backslashreplace")
        raise BadPayload(f"{where}: no JSON: {error}: {start!r}; --raw takes text as it is") from None


def text_or_bytes(data: bytes) -> str | bytes:
    """Text where it is UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def headers(given: list[str] | None) -> dict[str, str] | None:
    """NAME=TEXT, as a dict."""
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(f"--header {text!r}: use NAME=TEXT")
        pairs[name] = value
    return pairs or None


def print_ref(ref: JobRef, *, as_json: bool) -> None:
    """Print the id; where the key was taken, say so."""
    if as_json:
        sys.stdout.write(f'{{"id":"{ref.id}","queue":"{ref.queue}","created":{"true" if ref.created else "false"}}}\n')
    else:
        print(ref.id, flush=True)
    if not ref.created:
        print("the key is taken by that job; nothing was submitted", file=sys.stderr)
