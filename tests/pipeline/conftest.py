"""What every test of a watch folder has: a root, a folder beside it, a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.drop import Drop
from support.fsq import fsq
from support.processes import no_process_left

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fsq", "no_process_left"]


@pytest.fixture
def drop(root: str, tmp_path: Path) -> Drop:
    """A watched folder."""
    return Drop(root, tmp_path)
