"""What was read once, by name. A look into it calls nothing that is written in Python: every job takes several."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Remembered(dict[str, T]):
    """Reads what is asked for the first time."""

    def __init__(self, read: Callable[[str], T]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, name: str) -> T:
        """Read it; what cannot be read is not remembered."""
        self[name] = found = self._read(name)
        return found
