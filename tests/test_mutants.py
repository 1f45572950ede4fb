"""The list of mutants cannot rot: each fits the code as it is, and names a test that exists. scripts/mutants tries them."""

from __future__ import annotations

import os

import pytest

from support.mutants import TOP, Mutant, mutants

MUTANTS = mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code_and_names_a_test_that_exists(mutant: Mutant) -> None:
    for file, text in mutant.texts().items():
        compile(text, file, "exec")
    path, *_, name = mutant.red.partition("[")[0].split("::")
    with open(os.path.join(TOP, path), encoding="utf-8") as source:
        assert f"def {name}(" in source.read()


def test_no_two_mutants_have_one_name() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)
