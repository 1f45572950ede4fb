"""Rows 1 to 4: what callers give as a name. No name becomes a path; one that cannot be a name is refused untouched."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

from bad_inputs.places import complaint
from workqueue.jobs.names import parse

if TYPE_CHECKING:
    from bad_inputs.places import Place

PATHS = ["../x", "../outside", "/nowhere/x", ".", "..", "", "default/new", "a/b", ".fsq", "default/.."]
CONTROLS = ["a\0b", "a\nb", "a\rb", "\x1b[31mred", "a\tb", "\x7f", "\u202egpj", "a b", "-rf", "--help\n"]
LONG = ["q" * 65, "q" * 256, "q" * 5000, "ä" * 40]
ODD = [os.fsdecode(b"\xff\xfe"), "\N{PILE OF POO}", "Ä", "A\N{COMBINING DIAERESIS}", "\ud800", "queuE", "１"]
NAMES = [*PATHS, *CONTROLS, *LONG, *ODD]
QUEUE_VERBS = (["submit", "1"], ["worker", "--exec", "cat", "--drain"], ["ls"], ["stats"])
ID_VERBS = ("show", "wait", "retry", "cancel", "rm")


def tree(place: Place) -> list[str]:
    """Everything in the root, and what lies beside it."""
    found = [name for name in os.listdir(place.where) if name != "output"]  # what commands say
    for parent, directories, files in os.walk(place.root):
        found += [os.path.join(parent, name) for name in (*directories, *files)]
    return sorted(found)


def test_what_cannot_be_a_queues_name_is_refused(place: Place) -> None:
    """Exit 2, in one printable line, by every verb that takes one; nothing is made or changed anywhere."""
    before = tree(place)
    verbs = (*QUEUE_VERBS, ["init", place.root])
    commands = [[*words, f"--queue={name}"] for words in verbs for name in NAMES]
    for words, result in zip(commands, place.each(commands), strict=True):
        assert complaint(result, 2).startswith("queue "), words
    assert tree(place) == before


def test_what_cannot_be_an_id_is_refused(place: Place) -> None:
    """Exit 2; or 4, where it could be the end of one and no job's ends so."""
    before = tree(place)
    commands = [[verb, "--", name] for verb in ID_VERBS for name in NAMES]
    for words, result in zip(commands, place.each(commands), strict=True):
        assert complaint(result, 4 if words[-1].isalnum() and len(words[-1]) > 3 else 2), words
    assert tree(place) == before


def test_any_text_is_a_key_and_none_becomes_a_path(place: Place) -> None:
    """It is hashed: the same key again gets the same job; another spelling of it is another key."""
    names = [name for name in NAMES if name and not has_surrogates(name)]
    commands = [["submit", "1", f"--key={name}"] for name in names]
    first, again = place.each(commands), place.each(commands)
    assert [result.status for result in (*first, *again)] == [0] * 2 * len(names)
    assert [result.out for result in first] == [result.out for result in again]
    assert len({result.out for result in first}) == len(names)
    assert len(place.names("new")) == 1 + len(names)
    refused = place.each([["submit", "1", f"--key={name}"] for name in NAMES if name not in names])
    assert all(complaint(result, 2).startswith("key") for result in refused)
    place.canary.check()


def has_surrogates(text: str) -> bool:
    """Whether it has what no UTF-8 can hold."""
    return text.encode("utf-8", "replace") != text.encode("utf-8", "surrogatepass")


def test_any_text_is_a_label_and_none_becomes_a_path(place: Place) -> None:
    """Made a name that lasts the job's whole life: claim, delay, failure, retry; and that can be printed everywhere."""
    place.write("etl.py", "def load(job):\n    raise ValueError(ascii(job.label))\n")
    given = place.each([["submit", "1", f"--label={label}"] for label in NAMES])
    assert [(result.status, result.err) for result in given] == [(0, "")] * len(NAMES)
    outcome = place.drained()
    assert outcome.status == 3
    assert len(outcome.told("retried")) == len(outcome.told("failed")) == len(NAMES) + 1
    failed = place.names("failed")
    assert {name[2:28] for name in failed} >= {result.out.strip() for result in given}
    for name in map(parse, failed):
        assert name is not None
        assert name.attempt == 2
        assert name.label.isprintable()
        assert "/" not in name.label
        assert name.label not in {".", ".."}
    words = [["ls", "failed"], ["ls", "failed", "--json"], *(["show", name[2:28]] for name in failed)]
    assert {(result.status, result.err) for result in place.each(words)} == {(0, "")}
    assert place.fsq("retry", "--all", "failed").status == 0


def test_a_label_is_cut_to_fit_and_options_that_are_too_long_are_refused(place: Place) -> None:
    """At submit, by their bytes, with the longest name that the job will ever have in mind."""
    long = ["ä" * 300, "漢" * 100, "x" * 100_000]
    given = place.each([["submit", "1", "--delay=1h", f"--label={label}"] for label in long])
    assert [result.status for result in given] == [0, 0, 0]
    labels = [name.label for name in map(parse, place.names("later")) if name]
    assert [150 < len(label.encode()) < 200 for label in labels] == [True] * 3
    refused = place.each([["submit", "1", f"--key={'k' * 70_000}"], ["submit", "1", f"--header=a={'x' * 70_000}"]])
    assert [complaint(result, 2).startswith("options and headers: ") for result in refused] == [True, True]
    assert place.names("tmp") == []
    assert len(place.names("new")) == 1


def test_composed_and_decomposed_characters_are_different_files_and_both_run(place: Place) -> None:
    """What a file system makes one name is one job there; here none is lost."""
    composed = "Käse.csv"
    decomposed = unicodedata.normalize("NFD", composed)
    for name in (composed, decomposed):
        place.plant(name, name.encode())
    outcome = place.run()
    assert [len(outcome.ran(name.encode())) for name in (composed, decomposed)] == [1, 1]
