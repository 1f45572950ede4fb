"""Templates: text, or a JSON value with texts in it, in which ``{name}`` stands for something.

Filled in after the JSON was read, and in its texts only: the braces of JSON itself mean what they always do, and what
is filled in cannot break out of its text. ``{{name}}`` is ``{name}`` as it is; all other braces are left alone.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from workqueue.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PLACE = re.compile(r"\{(\{[A-Za-z_]\w*\})\}|\{([A-Za-z_]\w*)\}")


def fill(value: Any, words: Mapping[str, str]) -> Any:
    """The value with each ``{name}`` in its texts replaced; always by text."""
    return _changed(value, lambda text: PLACE.sub(lambda match: match[1] or words[match[2]], text))


def check(value: Any, known: Iterable[str], what: str) -> None:
    """Refuse a name that means nothing here, before anything is submitted."""
    words = list(known)
    for name in names(value):
        if name not in words:
            raise BadInput(f"{what}: {{{name}}} means nothing here{_hint(name, words)}")


def names(value: Any) -> list[str]:
    """The names that are to be filled in."""
    found: list[str] = []

    def look(text: str) -> str:
        found.extend(match[2] for match in PLACE.finditer(text) if match[2])
        return text

    _changed(value, look)
    return found


def _hint(name: str, words: list[str]) -> str:
    """What may have been meant."""
    close = get_close_matches(name.lower(), words, n=1, cutoff=0.6)
    known = ", ".join(f"{{{word}}}" for word in words)
    meant = f"did you mean {{{close[0]}}}?" if close else f"there is {known}"
    return f"; {meant} (for the text itself write {{{{{name}}}}})"


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case dict():
            return {change(name): _changed(each, change) for name, each in value.items()}
        case list():
            return [_changed(each, change) for each in value]
        case _:
            return value
