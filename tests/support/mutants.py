"""Mutants: faults that were, or could be, made; and for each the test that must turn red. They stand in mutants.toml."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIST = os.path.join(TOP, "tests", "mutants.toml")


@dataclass(frozen=True)
class Edit:
    """A piece of a file, and what takes its place."""

    file: str
    old: str
    new: str

    def applied_to(self, text: str) -> str:
        """The file's text with the fault in it; the piece must be there once."""
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"{self.file} has {found} times: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutant:
    """A fault, and the test that is there for it."""

    name: str
    red: str
    """The test's node id, as pytest takes it."""
    edits: tuple[Edit, ...]

    def texts(self, top: str = TOP) -> dict[str, str]:
        """The changed files: name → text."""
        texts: dict[str, str] = {}
        for edit in self.edits:
            if edit.file not in texts:
                with open(os.path.join(top, edit.file), encoding="utf-8") as file:
                    texts[edit.file] = file.read()
            texts[edit.file] = edit.applied_to(texts[edit.file])
        return texts


def mutants() -> list[Mutant]:
    """All there are."""
    with open(LIST, "rb") as file:
        found = tomllib.load(file)["mutant"]
    return [Mutant(one["name"], one["red"], tuple(Edit(**edit) for edit in one["edit"])) for one in found]
