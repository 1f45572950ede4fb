"""fsq stats, ls, show, wait: looks that change nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from workqueue.cli.app import JsonOption, QueuesOption, RootOption, app, chosen_queues, find_job, open_engine, say
from workqueue.cli.elements import element_facts, facts_of, find_element, tally_of
from workqueue.cli.output import print_json, print_rows, shown
from workqueue.errors import BadSetting, StoreError
from workqueue.jobs.arrays import Tally
from workqueue.jobs.content import TEXT, Damaged, decode_payload
from workqueue.jobs.durations import shown_size, spoken
from workqueue.jobs.ids import milliseconds, moment
from workqueue.jobs.states import State
from workqueue.producer import JobRef

if TYPE_CHECKING:
    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Claim, Located
    from workqueue.jobs.progress import Progress

ON_A_TERMINAL = 100
"""Jobs that ls shows where a person reads them, unless told otherwise."""
PREVIEW = 2000
"""Characters of a payload that show prints."""


BatchOption = Annotated[
    str | None,
    typer.Option("--batch", metavar="ID", help="Of this batch; its id, or the unique end of it.", show_default=False),
]


@app.command()
def stats(
    context: typer.Context,
    queues: QueuesOption = None,
    batch: BatchOption = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Count the jobs of each queue, by state; or those of a batch, by how they ended. Exit 4: no such batch."""
    engine = open_engine(context, root)
    if batch is not None:
        if queues:
            raise BadSetting("--batch counts the jobs of a batch, whatever their queues: leave -q out")
        from workqueue.cli.batches import find_batch, print_batch

        ref = find_batch(engine, batch)
        print_batch(ref, ref.counts(), as_json=as_json)
        return
    rows: list[list[object]] = []
    for queue in chosen_queues(engine, queues):
        counts = engine.counts(queue)
        if as_json:
            print_json({"queue": queue, **{state.value: count for state, count in counts.items()}})
        rows.append([queue, *counts.values()])
    if not as_json:
        print_rows(["queue", *(state.value for state in State)], rows)


@app.command("ls", epilog="Examples:  fsq ls  ·  fsq ls failed -q load  ·  fsq ls later --json | jq .due")
def list_jobs(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Argument(metavar="[STATE]", help="new, later, cur, held, done, failed or corrupt.")
    ] = None,
    queues: QueuesOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-l", min=0, help="0 lists all.", show_default="100 on a terminal")
    ] = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """List jobs in the order in which they run."""
    engine = open_engine(context, root)
    if limit is None:
        limit = ON_A_TERMINAL if sys.stdout.isatty() and not as_json else 0
    rows: list[list[object]] = []
    count = 0
    for queue in chosen_queues(engine, queues):
        for one in states(state):
            for found in engine.scan(queue, one):
                count += 1
                if limit and count > limit:
                    continue
                if as_json:
                    print_json(described(engine, found))
                else:
                    rows.append(row(engine, found))
    if not as_json:
        print_rows(["id", "queue", "state", "try", "age", "due", "label", "progress"], rows)
    if limit and count > limit:
        say(f"… and {count - limit} more (--limit 0 lists all)")


def states(text: str | None) -> list[State]:
    """The state named, or all."""
    if text is None:
        return list(State)
    try:
        return [State(text)]
    except ValueError:
        raise BadSetting(f"state {text!r}: there is {', '.join(State)}") from None


def row(engine: DirectoryEngine, found: Located) -> list[object]:
    """A job as columns."""
    name, now = found.name, engine.root.clock.now_ms()
    age = spoken((now - milliseconds(name.id)) / 1000) if name.id else None
    due = spoken(max(0, name.due - now) / 1000) if name.due is not None else None
    progress = progress_of(engine, found) if found.state is State.CUR else None
    tally = tally_of(engine, found)
    told = tally.text() if tally else progress.text(now, running=True) if progress else None
    return [name.id, found.queue, found.state.value, name.attempt, age, due, name.label, told]


def progress_of(engine: DirectoryEngine, found: Located) -> Progress | None:
    """What the present run of a job, or else its last attempt, has told; never what an earlier one had."""
    progress = engine.progress(found.name.id) if found.name.id else None
    return progress if progress and progress.is_of(found.name, found.state) else None


def described(engine: DirectoryEngine, found: Located) -> dict[str, Any]:
    """A job as JSON."""
    name = found.name
    progress = progress_of(engine, found) if found.state is State.CUR else None
    return {
        "id": name.id or None,
        "queue": found.queue,
        "state": found.state.value,
        "priority": name.priority,
        "attempt": name.attempt,
        "submitted": iso(milliseconds(name.id)) if name.id else None,
        "due": iso(name.due) if name.due is not None else None,
        "worker": name.owner.slot if name.owner else None,
        "label": name.label,
        "path": found.path,
        "progress": progress.facts(engine.root.clock.now_ms(), running=True) if progress else None,
        "array": facts_of(tally_of(engine, found)),
    }


def iso(ms: int) -> str:
    """A time as ISO 8601, in the local zone."""
    return moment(ms).astimezone().isoformat(timespec="milliseconds")


@app.command()
def show(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="A job id, or the unique end of one.")],
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Show all that is known of a job: where it is, its options, its payload, every failed attempt, its result."""
    engine = open_engine(context, root)
    found, index = find_element(engine, job_id)
    if index is not None:
        facts = {**element_facts(engine, found, index), "errors": []}
        print_json(facts) if as_json else print_facts(facts)
        return
    facts = described(engine, found) | content(engine, found) | told(engine, found, as_json=as_json)
    first = facts.get("options", {}).pop("error", None)  # of a job that was an element of an array
    facts["errors"] = [*([first] if first else []), *engine.errors(found.name.id)]
    if facts["array"] and not as_json:
        facts["array"] = Tally(**facts["array"]).text()
    try:
        result = engine.result(found.name.id)
    except StoreError as error:
        facts["result_damage"] = str(error)
    else:
        if result is not None:
            facts["result"] = msgspec.json.decode(result)
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


def content(engine: DirectoryEngine, found: Located) -> dict[str, Any]:
    """What the job's file says."""
    try:
        claim = engine.load(found)
    except (Damaged, OSError) as error:
        return {"damaged": str(error)}
    options = msgspec.to_builtins(claim.options)
    given = {name: value for name, value in options.items() if name not in {"fsq", "len", "crc", "name"}}
    return {"size": claim.size, "options": given, "payload": preview(engine, claim)}


def preview(engine: DirectoryEngine, claim: Claim) -> Any:
    """The payload where it is small and readable."""
    if claim.size > PREVIEW:
        return f"({shown_size(claim.size)})"
    try:
        kind = claim.options.type if claim.options.array is None else TEXT
        value = decode_payload(engine.body(claim), kind, whole=claim.name.whole)
    except (Damaged, OSError) as error:
        return f"({error})"
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def told(engine: DirectoryEngine, found: Located, *, as_json: bool) -> dict[str, Any]:
    """What the job's runs have told: how far they have come, what they counted, from where the next goes on."""
    facts: dict[str, Any] = {}
    progress, now = progress_of(engine, found), engine.root.clock.now_ms()
    if progress:
        running = found.state is State.CUR
        facts["progress"] = (progress.facts if as_json else progress.text)(now, running=running)
        facts["counts"] = progress.counts
    try:
        saved, damage = engine.checkpoint(found.name.id)
    except OSError as error:
        saved, damage = None, (str(error),)
    if saved:
        cursor = saved.value() if len(saved.cursor) <= PREVIEW else f"({shown_size(len(saved.cursor))})"
        facts["checkpoint"] = {"cursor": cursor, "attempt": saved.attempt, "at": iso(saved.at)}
    if damage:
        facts["checkpoint_damage"] = ", ".join(damage)
    return facts


def print_facts(facts: dict[str, Any]) -> None:
    """Print a job for a person: one fact a line, then the errors with their tracebacks."""
    errors = facts.pop("errors")
    for name, value in facts.items():
        if value not in (None, "", {}):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            print(f"{name:>10}  {shown(text)}")
    for error in errors:
        kind = error.get("type") or error.get("kind")
        print(f"\nattempt {error.get('attempt')}, {iso(error.get('at', 0))}: {kind}: {shown(error.get('message'))}")
        for line in str(error.get("traceback", "")).rstrip().split("\n"):
            if line:
                print(f"    {shown(line)}")


@app.command()
def wait(
    context: typer.Context,
    job_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A job id, or the unique end of one.", show_default=False)
    ] = None,
    batch: BatchOption = None,
    timeout: Annotated[str | None, typer.Option(help="Give up after this long: exit 124.")] = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Wait until a job has ended. Exit 0: done; 1: failed or corrupt; 4: nowhere; 124: timed out.

    Or until all jobs of a batch have, and its callback is submitted. Exit 0: all done; 3: some not.
    """
    engine = open_engine(context, root)
    if (job_id is None) == (batch is None):
        raise BadSetting("give a job's id, or --batch ID")
    if batch is not None:
        from workqueue.cli.batches import find_batch, wait_for_batch

        raise typer.Exit(wait_for_batch(find_batch(engine, batch), timeout, as_json=as_json))
    assert job_id is not None
    found = find_job(engine, job_id)
    state = JobRef(engine.root, found.name.id, found.queue, created=False).wait(timeout)
    if as_json:
        print_json({"id": found.name.id, "queue": found.queue, "state": state})
    else:
        print(state or "ended, and was not kept")
    raise typer.Exit(0 if state in {State.DONE, None} else 1)
