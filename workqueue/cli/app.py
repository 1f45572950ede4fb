"""The typer application, and what every verb shares: the root, the output."""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workqueue import __version__
from workqueue.engine.find_root import find_root
from workqueue.errors import BadSetting, NoSuchJob
from workqueue.jobs import names
from workqueue.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.engine.directory import DirectoryEngine
    from workqueue.engine.protocol import Located

app = typer.Typer(
    name="fsq",
    help="A work queue whose broker is a directory: no server, nothing lost, `ls` tells the truth.",
    epilog="Start here:  fsq init spool  ·  fsq -r spool submit '{\"n\": 1}'  ·"
    "  fsq -r spool worker --exec 'cat' --drain",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        "-r",
        metavar="PATH",
        help="The queue root. Default: $FSQ_ROOT, else the nearest parent directory that is one, else"
        " ~/.local/state/fsq.",
        show_default=False,
    ),
]
QueueOption = Annotated[str, typer.Option("--queue", "-q", metavar="NAME", help="The queue.")]
QueuesOption = Annotated[
    list[str] | None,
    typer.Option("--queue", "-q", metavar="NAME", help="Only this queue; may be given again.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of columns.")]
IdArgument = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Job ids, or the end of one, 4 characters at least, if unique.")
]
SHORTEST_END = 4


VERBS = ("make", "submit", "inputs", "watch", "worker", "run", "look", "change", "rejects", "log", "report", "doctor")
"""The modules with the verbs, in the order of the help."""
HOT: dict[str, tuple[str, ...]] = {"submit": ("submit",), "--version": ()}
"""What is called in loops, and the modules that it needs: it does not pay for the options of all other verbs."""


def hot_verb(words: list[str]) -> str | None:
    """The verb of a command line, if it is a hot one; the root may stand before it."""
    match words:
        case [("-r" | "--root"), _, verb, *_] | [verb, *_] if verb in HOT:
            return verb
    return None


@functools.cache
def command(hot: str | None = None) -> Callable[..., Any]:
    """The whole command, or no more of it than a hot verb needs.

    Every option can be set as FSQ_VERB_OPTION, which the help of each need not repeat.
    """
    for module in VERBS if hot is None else HOT[hot]:
        import_module(f"workqueue.cli.{module}")
    whole = typer.main.get_command(app)
    for verb, one in {"": whole, **getattr(whole, "commands", {})}.items():
        for option in one.params:
            option.show_envvar = False
            option.envvar = variable(verb, option)
            if getattr(option, "is_flag", False):
                option.metavar = ""
    return whole


def variable(verb: str, option: Any) -> str | None:
    """The environment variable of an option: FSQ_, the verb, and the option's long name."""
    longest = max(option.opts, key=len)
    if not verb or not longest.startswith("--") or longest == "--root":
        return None  # FSQ_ROOT holds for every verb, and for the library
    return "_".join(("FSQ", verb, longest[2:].replace("-", "_"))).upper()


def version(*, wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"fsq {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    root: RootOption = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=lambda value: version(wanted=value), is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Take the options that stand before the verb."""
    context.obj = root


def root_path(context: typer.Context, root: str | None) -> str:
    """The root's path: named after the verb, before it, or found."""
    return find_root(root if root is not None else context.obj)


def open_engine(context: typer.Context, root: str | None) -> DirectoryEngine:
    """The engine of the root that is meant."""
    from workqueue.engine.root import Root
    from workqueue.producer import engine_of

    return engine_of(Root(root_path(context, root)))


def chosen_queues(engine: DirectoryEngine, queues: list[str] | None) -> list[str]:
    """The queues named, each checked; all if none is."""
    for queue in queues or ():
        engine.root.space(queue, State.NEW)
    return queues or engine.queues()


def find_job(engine: DirectoryEngine, text: str) -> Located:
    """The job of an id, or of the unique end of one."""
    wanted = text.strip().upper()
    if names.parse(f"5-{wanted}-0") is not None:
        found = engine.find(wanted)
        if found is not None:
            return found
        raise NoSuchJob(f"job {wanted}: finished and not kept, cancelled, or never here")
    array, dot, index = wanted.rpartition(".")
    if dot and array and index.isdigit():
        raise BadSetting(f"{text}: an element goes with its array, {array}; fsq show {text} shows it")
    if len(wanted) < SHORTEST_END or not wanted.isalnum():
        raise BadSetting(f"job id {text!r}: 26 characters, or the last {SHORTEST_END} or more of them")
    ending = [
        found
        for queue in engine.queues()
        for state in State
        for found in engine.scan(queue, state)
        if found.name.id.endswith(wanted)
    ]
    match ending:
        case [found]:
            return found
        case []:
            raise NoSuchJob(f"no job whose id ends in {wanted}: finished and not kept, cancelled, or never here")
        case _:
            raise BadSetting(f"{len(ending)} jobs have ids that end in {wanted}: give more of it")


def say(text: str) -> None:
    """Talk to the person at the terminal."""
    print(text, file=sys.stderr)
