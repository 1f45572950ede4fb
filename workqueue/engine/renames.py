"""The rename that publishes: certain about what happened, also where the file system is not.

A network file system can report failure for a rename that happened: its answer was lost, and the repeated request found
no source. The truth is in the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workqueue.engine.root import Root


def rename(root: Root, source: str, target: str) -> None:
    """Rename to a name never used before; an error only if it did not happen."""
    try:
        root.fs.rename(source, target)
    except OSError:
        if root.fs.exists(source) or not root.fs.exists(target):
            raise


def link(root: Root, source: str, target: str) -> None:
    """Link to a name never used before; an error only if it did not happen."""
    try:
        root.fs.link(source, target)
    except OSError:
        if not root.fs.exists(target):
            raise
