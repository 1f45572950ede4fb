"""From files, pieces and partitions to inputs: payload, key and label of each job."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from workqueue.errors import BadInput
from workqueue.jobs.content import encode_payload
from workqueue.pipeline import pieces, template
from workqueue.pipeline.files import WORDS as FILE_WORDS
from workqueue.pipeline.inputs import Input, checked_keys
from workqueue.pipeline.partitions import WORDS as PARTITION_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workqueue.pipeline.files import Found
    from workqueue.pipeline.partitions import Partition

FILE_PAYLOAD: Any = {"path": "{path}"}
PARTITION_PAYLOAD: Any = {"start": "{start}", "end": "{end}"}


def check_file_templates(payload: Any, key: str | None) -> None:
    """Refuse a name that no file has, and a payload that would be the same for all of them."""
    template.check(payload, FILE_WORDS, "payload")
    template.check(key, FILE_WORDS, "key")
    if not template.names(payload):
        raise BadInput("payload: the same for every file; put {path} or the like into it")


def of_files(found: Iterable[Found], payload: Any, key: str | None, *, whole: bool) -> Iterator[Input]:
    """A job a file; `whole`: the file is the payload."""
    inputs = (_of_file(file, payload, key, whole=whole) for file in found)
    return checked_keys(inputs) if key is not None else inputs


def _of_file(file: Found, payload: Any, key: str | None, *, whole: bool) -> Input:
    words = file.words()
    own = None if key is None else template.fill(key, words)
    facts = {"path": file.path}
    if whole:
        return Input(file.path, file=file.path, key=own, label=file.name, facts=facts)
    return Input(file.path, template.fill(payload, words), key=own, label=file.name, facts=facts)


def of_pieces(found: Iterable[Mapping[str, Any]], *, copy: bool, once: bool) -> Iterator[Input]:
    """A job a piece; `copy`: its bytes are the payload. `once`: with a key, that of these bytes of this very file."""
    for piece in found:
        what = f"{piece['start']}-{piece['end']}"
        key = None
        if once:
            key = f"split:{piece['path']}:{piece['size']}:{piece['mtime_ns']}:{piece['header']}:{what}"
        facts = {"start": piece["start"], "end": piece["end"], "piece": piece["piece"], "pieces": piece["pieces"]}
        if copy:
            yield Input(what, piece=piece, key=key, label=pieces.label(piece), facts=facts)
        else:
            yield Input(what, dict(piece), key=key, label=pieces.label(piece), facts=facts)


def of_partitions(found: Iterable[Partition], payload: Any, key: str | None) -> Iterator[Input]:
    """A job a partition. Its key, unless one is given, is of the partition and the payload: another is other work."""
    template.check(payload, PARTITION_WORDS, "payload")
    template.check(key, PARTITION_WORDS, "key")
    return checked_keys(_of_partitions(found, payload, key))


def _of_partitions(found: Iterable[Partition], payload: Any, key: str | None) -> Iterator[Input]:
    known: dict[str, Partition] = {}
    for partition in found:
        filled = template.fill(payload, partition.words())
        digest = _digest(filled)
        other = known.setdefault(digest, partition)
        if other is not partition:
            raise BadInput(f"payload: the same for {other} and {partition}; put {{start}} into it")
        yield _of_partition(partition, filled, digest, key)


def _of_partition(partition: Partition, filled: Any, digest: str, key: str | None) -> Input:
    words = partition.words()
    own = f"backfill:{partition.unit}:{partition}:{digest}" if key is None else template.fill(key, words)
    facts = {"start": words["start"], "end": words["end"], "key": own}
    return Input(str(partition), filled, key=own, label=str(partition), facts=facts)


def _digest(payload: Any) -> str:
    """What tells payloads apart, however their JSON was written."""
    data, kind = encode_payload(payload)
    return hashlib.sha256(kind.encode() + b"\0" + data).hexdigest()[:16]
