"""Removing what a run has staged, where it is not to appear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.engine import manifest, outputs

if TYPE_CHECKING:
    from workqueue.engine.root import Root


def discard(root: Root, run: str) -> None:
    """Remove what a run has staged that did not commit; the manifest, which tells of the outputs, last."""
    found = manifest.read(root, run)
    if found:
        outputs.discard(root, [*found.dropped, *(output.temporary for output in found.outputs)])
    left = [number for one in manifest.runs(root) if one.text == run for number in one.numbers]
    for number in sorted(left, key=lambda number: number == manifest.NUMBER):
        remove(root, manifest.path(root, run, number))


def remove(root: Root, path: str) -> None:
    """Remove an item: a file, or a batch."""
    try:
        root.fs.discard(path)
    except IsADirectoryError:
        root.fs.remove_tree(path)
