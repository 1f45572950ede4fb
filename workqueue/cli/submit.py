"""fsq submit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec
import typer

from workqueue.cli.app import JsonOption, QueueOption, RootOption, app, root_path
from workqueue.cli.bulk import telling
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
from workqueue.engine.newjob import NOTHING
from workqueue.engine.root import DEFAULT_QUEUE
from workqueue.errors import BadInput, BadPayload, NoSuchJob
from workqueue.jobs.states import State
from workqueue.producer import JobRef, Producer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEEP_WHILE_WAITING = "1h"


@app.command(
    epilog="Examples:  fsq submit '{\"n\": 1}'  ·  fsq submit --file big.csv --mode move -q load  ·"
    "  cut -f1 list | fsq submit --lines  ·  fsq submit --each 'in/*.csv' --key '{path}'"
)
def submit(
    context: typer.Context,
    payload: Annotated[
        str | None,
        typer.Argument(
            help="JSON; - reads it from stdin, @FILE from a file. With --each its texts may have {path}, {name},"
            " {stem}, {directory}, {size}, {mtime}.",
            show_default=False,
        ),
    ] = None,
    queue: QueueOption = DEFAULT_QUEUE,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="F", help="The file is the payload.", show_default=False)
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="How --file comes into the queue: move, link or copy. With --each: the files are the payloads.",
            show_default="copy",
        ),
    ] = None,
    each: Annotated[
        list[str] | None,
        typer.Option(
            "--each",
            metavar="PATTERN",
            help="A job for each file that matches, ** for any depth; quote it. May be given again.",
            show_default=False,
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="PATH", help="With --each: only files behind this one.", show_default=False),
    ] = None,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="With --each: no file is no error.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The payload is text or bytes as they are, not JSON.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of stdin is a job, as text.")] = False,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Each line of stdin is a job, as JSON.")] = False,
    array: Annotated[
        int | None,
        typer.Option(
            "--array",
            metavar="N",
            min=1,
            help="With --lines or --json-lines: arrays of N lines each, for tiny jobs: one file, one claim, N calls.",
            show_default=False,
        ),
    ] = None,
    delay: DelayOption = None,
    at: AtOption = None,
    priority: PriorityOption = 5,
    key: Annotated[
        str | None,
        typer.Option(help="While a job with this key lives, no second is made. With --each: {path} and the like."),
    ] = None,
    key_for: Annotated[str | None, typer.Option(help="Keep the key taken for so long after the job's end.")] = None,
    again: AgainOption = False,
    max_attempts: AttemptsOption = None,
    timeout: TimeoutOption = None,
    expires: ExpiresOption = None,
    keep: KeepOption = None,
    reject_limit: RejectLimitOption = None,
    header: HeaderOption = None,
    label: Annotated[str, typer.Option(help="A name for people, seen in ls. With --each: by default the file's.")] = "",
    volatile: VolatileOption = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end: exit 0 if done, 1 if failed.")] = False,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Submit a job, and print its id. When this exits 0 the job survives kill -9 and a power cut."""
    options = job_options(
        queue=queue, delay=delay, at=at, priority=priority, max_attempts=max_attempts, timeout=timeout,
        expires=expires, keep=keep, reject_limit=reject_limit, header=header, label=label, volatile=volatile,
    )  # fmt: skip
    producer = Producer(root_path(context, root))
    if each:
        refuse_with(
            "--each takes its jobs from files",
            file=file, lines=lines, json_lines=json_lines, wait=wait, array=array is not None,
        )  # fmt: skip
        from workqueue.cli.each import submit_each

        submit_each(
            producer, each, payload=each_payload(payload, raw=raw), mode=mode, key=key, after=after,
            allow_empty=allow_empty, as_json=as_json, options={**options, "key_for": key_for, "again": again},
        )  # fmt: skip
        return
    refuse_with("without --each there is none of its options", after=after, allow_empty=allow_empty)
    if lines or json_lines:
        refuse_with(
            "--lines takes its jobs from stdin",
            payload=payload,
            file=file,
            key=key,
            wait=wait,
            key_for=key_for,
            again=again,
            mode=mode,
        )
        submit_lines(producer, options, as_json=as_json, decode=json_lines, array=array)
        return
    if array is not None:
        raise BadInput("--array goes with --lines or --json-lines, whose lines are its elements")
    if wait and keep is None:
        options["keep"] = KEEP_WHILE_WAITING
    given = read_payload(payload, raw=raw) if file is None else NOTHING
    if file is not None and payload is not None:
        raise BadInput("submit takes a payload or --file, one of them")
    way = cast("Literal['move', 'link', 'copy']", mode or "copy")
    ref = producer.submit(given, file=file, mode=way, key=key, key_for=key_for, again=again, **options)
    print_ref(ref, as_json=as_json)
    if wait:
        raise typer.Exit(0 if ends_well(ref) else 1)


def ends_well(ref: JobRef) -> bool:
    """Wait for the job's end; one that was here and is nowhere has ended, and was not kept."""
    try:
        return ref.wait() in {State.DONE, None}
    except NoSuchJob:
        return True


def refuse_with(why: str, **given: object) -> None:
    """Say what cannot be combined."""
    for name, value in given.items():
        if value:
            raise BadInput(f"{why}: it does not go with {name.replace('_', '-')}")


def each_payload(payload: str | None, *, raw: bool) -> Any:
    """The payload of each file's job; what a shell made of a pattern without quotes is told from one."""
    try:
        return None if payload is None else read_payload(payload, raw=raw)
    except BadPayload as error:
        if os.path.exists(payload or ""):
            raise BadInput(f"{payload}: --each takes one pattern; quote it: --each 'in/*.csv'") from error
        raise


def submit_lines(
    producer: Producer, options: dict[str, Any], *, as_json: bool, decode: bool, array: int | None
) -> None:
    """Submit stdin line by line, in batches that are each all or nothing; print the ids of each when it is safe."""
    form = f'{{"id":"%s","queue":"{options["queue"]}"}}\n' if as_json else "%s\n"
    submitted = read = 0

    def lines() -> Iterator[Any]:
        nonlocal read
        for line in stdin_lines(decode=decode, only_text=array is not None):
            read += 1
            yield line

    def print_ids(ids: Sequence[str]) -> None:
        nonlocal submitted
        submitted = min(submitted + len(ids) * (array or 1), read)
        sys.stdout.writelines(form % job_id for job_id in ids)
        sys.stdout.flush()

    with telling(lambda: f"{submitted} lines are submitted; go on from line {submitted + 1}") as patience:
        if array is None:
            producer.submit_many(patience.each(lines()), **options, on_batch=print_ids)
        else:
            producer.submit_array(patience.each(lines()), size=array, **options, on_batch=print_ids)


def stdin_lines(*, decode: bool, only_text: bool) -> Iterator[Any]:
    """The lines of stdin without their ends; text that is no UTF-8 stays bytes, where it may."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        text = line.rstrip(b"\r\n")
        if decode:
            yield from_json(text, f"line {number} of stdin")
        else:
            payload = text_or_bytes(text)
            if only_text and isinstance(payload, bytes):
                raise BadPayload(f"line {number} of stdin: no UTF-8; --array takes text, without it bytes are as good")
            yield payload


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


def print_ref(ref: JobRef, *, as_json: bool) -> None:
    """Print the id; where the key was taken, say so."""
    if as_json:
        sys.stdout.write(f'{{"id":"{ref.id}","queue":"{ref.queue}","created":{"true" if ref.created else "false"}}}\n')
    else:
        print(ref.id, flush=True)
    if not ref.created:
        print("the key is taken by that job; nothing was submitted", file=sys.stderr)
