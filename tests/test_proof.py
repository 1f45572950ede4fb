"""docs/proof.md names a test for everything that must hold: each of them exists."""

from __future__ import annotations

import os
import re

import pytest

from support.mutants import TOP

with open(os.path.join(TOP, "docs", "proof.md"), encoding="utf-8") as page:
    TEXT = page.read()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_the_page_names_exists(file: str, test: str) -> None:
    with open(os.path.join(TOP, file), encoding="utf-8") as source:
        assert f"def {test}(" in source.read()


def test_every_invariant_has_one() -> None:
    rows = re.findall(r"^\| (I\d+) \|.*`tests/[\w/]+\.py::\w+`", TEXT, re.MULTILINE)
    assert rows == [f"I{number}" for number in range(1, 14)]
