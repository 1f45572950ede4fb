"""The engine's world, which most of these tests make ill; and a directory that an ordinary user can reach."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

import pytest

from engine.conftest import ground, make_ground, world

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ground", "world"]


@pytest.fixture(scope="session")
def soil(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root with all that `init` makes."""
    return make_ground(tmp_path_factory)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Not below pytest's own directory, which every other pytest that starts meanwhile closes again."""
    with TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT") or gettempdir()) as directory:
        yield Path(directory)
