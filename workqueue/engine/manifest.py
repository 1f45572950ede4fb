"""Manifests: ``.fsq/commit/RUN+0`` says what a run hands over when it commits, and where each item of it goes.

    .fsq/commit/5-ULID-1@3.k2x9+0      the manifest: a header, then one line for each item
    .fsq/commit/5-ULID-1@3.k2x9+1      an item: a child job, a batch of them, rejected records, the result

RUN is the claim's name without its label, so whoever holds the slot's lock finds what the run staged by its name.

**Invariant**: the manifest is whole and durable before the run commits, and is removed after the last item has come to
its place. So a run without a manifest has nothing more to hand over.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from workqueue.jobs import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workqueue.engine.root import Root
    from workqueue.jobs.names import Name

NUMBER = "0"
"""The manifest's own number among the items of its run."""


class Header(msgspec.Struct, tag="run"):
    """Whose manifest it is."""

    queue: str
    name: str
    """The claim's name in cur/, and in done/ once the run has committed."""


class Item(msgspec.Struct, tag="item", omit_defaults=True):
    """A file, or a batch directory, that lies beside the manifest."""

    number: int
    to: str
    """Where it goes: a path below the root."""
    key: str | None = None
    """A child's unique key in its queue."""
    options: str | None = None
    """The options of a child whose whole file is payload."""
    batch: str | None = None
    """The batch that its jobs are members of."""


class Output(msgspec.Struct, tag="output", omit_defaults=True):
    """A file of the user's, staged in the directory nearest to its destination."""

    to: str
    temporary: str
    inode: int
    """Of the directory that holds the temporary file: another one there means that the disk is not mounted."""
    new: bool = False
    """Whether a file that has the name is an error; otherwise it is replaced."""


class Dropped(msgspec.Struct, tag="dropped"):
    """An output that was given up while it was written."""

    temporary: str


class End(msgspec.Struct, tag="end"):
    """The last line: what stands before it is all there is."""


Entry = Header | Item | Output | Dropped | End
_decoder = msgspec.json.Decoder(Entry)


class Run(NamedTuple):
    """A run that has something under commit/, told by its name there."""

    text: str
    owner: names.Owner
    numbers: list[str]
    """Of what is there: the manifest, the items."""


class Manifest(NamedTuple):
    """What a run hands over."""

    header: Header
    items: list[Item]
    outputs: list[Output]
    dropped: list[str]
    """Temporary files of outputs that were given up."""
    is_whole: bool
    """Whether its last line is there, as it is from before the run commits."""


def text_of(name: Name) -> str:
    """How a claim's run is called under commit/."""
    return name._replace(label="", whole=False).claimed()


def path(root: Root, run: str, number: int | str = NUMBER) -> str:
    """Where an item lies; the manifest, if no number is given."""
    return root.dot("commit", f"{run}+{number}")


def line(entry: Entry) -> bytes:
    """An entry as it is written."""
    return msgspec.json.encode(entry) + b"\n"


def read(root: Root, run: str) -> Manifest | None:
    """What a run hands over, as far as it is written; None where there is no manifest, or none that names its job."""
    try:
        lines = root.fs.read(path(root, run)).splitlines()
    except FileNotFoundError:
        return None
    entries: list[Entry] = []
    with contextlib.suppress(ValueError, msgspec.MsgspecError):
        entries += map(_decoder.decode, lines)
    if not entries or not isinstance(entries[0], Header) or names.parse(entries[0].name) is None:
        return None
    items = [entry for entry in entries if isinstance(entry, Item)]
    outputs: dict[str, Output | None] = {}
    """By temporary file: one that was given up may have been begun anew."""
    for entry in entries:
        if isinstance(entry, (Output, Dropped)):
            outputs[entry.temporary] = entry if isinstance(entry, Output) else None
    dropped = [temporary for temporary, output in outputs.items() if output is None]
    staged = [output for output in outputs.values() if output is not None]
    return Manifest(entries[0], items, staged, dropped, isinstance(entries[-1], End) and len(entries) == len(lines))


def queue_of(root: Root, run: Run) -> str | None:
    """The queue of a run that hands something over; None where that is not written yet, or all is done."""
    found = read(root, run.text)
    return found.header.queue if found else None


def runs(root: Root) -> Iterator[Run]:
    """The runs that have something under commit/."""
    found: dict[str, Run] = {}
    for text in root.fs.list(root.dot("commit")):
        name = names.parse(text)
        if name is not None and name.owner is not None:
            run = text_of(name)
            found.setdefault(run, Run(run, name.owner, [])).numbers.append(name.label)
    yield from found.values()


def is_handing_over(root: Root, name: Name) -> bool:
    """Whether a job in done/ has items that have not come to their places."""
    return name.owner is not None and root.fs.exists(path(root, text_of(name)))
