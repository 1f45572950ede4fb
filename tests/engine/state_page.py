"""docs/states.md, read: its rows, its verbs, its words."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.state_verbs import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parent.parent.parent / "docs" / "states.md"
NEXT = re.compile(r"(?P<who>\w+)(?: (?P<key>taken|free))?(?: → `(?P<to>[^`]+)`)?")


class Next(NamedTuple):
    """What one of those who act makes of a row."""

    to: str
    key: str = ""
    """What the next submit of the job's key is told: the key is taken, or free."""


class Row(NamedTuple):
    """A form that a job can have, and what becomes of it."""

    form: str
    seen: str
    """The state in which `fsq ls` shows the job."""
    end: str
    next: dict[str, Next]


def code(text: str) -> list[str]:
    """What stands in `code` in a text."""
    return re.findall(r"`([^`]+)`", text)


def table(heading: str) -> Iterator[list[str]]:
    """The cells of all tables whose first heading this is."""
    inside = False
    for line in PAGE.read_text().splitlines():
        if line.startswith(f"| {heading} |"):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|-"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


@cache
def rows() -> dict[str, Row]:
    """The rows by their forms, each of which must stand there once."""
    found: dict[str, Row] = {}
    for forms, seen, end, then in table("there is"):
        for form in code(forms):
            assert form not in found, f"{PAGE.name}: two rows for {form!r}"
            found[form] = Row(form, seen.strip("`"), end, dict(nexts(form, then)))
    return found


@cache
def twins() -> dict[str, dict[str, Next]]:
    """What a power cut can leave of one job under two names, and what becomes of it."""
    return {
        form: dict(nexts(form, then)) for forms, then in table("after a power cut there is") for form in code(forms)
    }


def nexts(form: str, text: str) -> Iterator[tuple[str, Next]]:
    for part in text.split("; ") if text != "–" else []:
        match = NEXT.fullmatch(part)
        assert match, f"{PAGE.name}: {part!r} in the row of {form!r}"
        yield match["who"], Next(match["to"] or form, match["key"] or "")


@cache
def verbs(heading: str = "verb") -> dict[str, list[Step]]:
    """The steps of each verb by its name."""
    return {verb: steps(text) for cells, text in table(heading) for verb in code(cells)}


def steps(text: str) -> list[Step]:
    return [Step(match[1], match[2]) for match in re.finditer(r"(\w*) ?`([^`]+)`", text)]


def shown(found: list[Step]) -> str:
    """Steps as the page shows them."""
    return " ".join(f"{step.by} `{step.form}`".strip() for step in found)


def words(heading: str) -> list[str]:
    """The words that a table explains."""
    return [word for cells in table(heading) for word in code(cells[0])]


@cache
def roots() -> dict[str, tuple[str, str]]:
    """What a root is that has no more than this, and what the next init makes of it."""
    return {code(row)[0]: (what, code(after)[0]) for row, what, after in table("the root has")}
