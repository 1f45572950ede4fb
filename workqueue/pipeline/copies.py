"""A piece of a file as a file of its own, in the queue's tmp/: one rename from being a job."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workqueue.errors import BadInput, Reject, told
from workqueue.pipeline.reading import open_piece

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workqueue.engine.root import Root

CHUNK = 1 << 20


@contextmanager
def copied(root: Root, queue: str, piece: Mapping[str, Any]) -> Iterator[str]:
    """The path of a copy. What has not become a job when the block ends is removed; after a crash tmp/ is cleaned."""
    path = f"{root.space(queue, 'tmp')}/{root.ids.next()}.piece"
    with told("copy a piece", path):
        _copy(root, path, piece)
    try:
        yield path
    finally:
        root.fs.discard(path)


def _copy(root: Root, path: str, piece: Mapping[str, Any]) -> None:
    try:
        with root.fs.creating(path, root.file_mode) as fd, open_piece(piece) as source:
            while chunk := source.read(CHUNK):
                root.fs.write(fd, chunk)
            if root.is_shared:
                root.fs.chmod(fd, root.file_mode)
    except Reject as error:
        raise BadInput(str(error)) from None
