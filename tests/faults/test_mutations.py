"""The deliberate faults of `dev.py mutants` still fit the code, each leaving valid Python."""

import ast
from pathlib import Path

import pytest

from tests.faults.mutations import MUTATIONS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_deliberate_fault_fits_the_code(name: str) -> None:
    mutation = MUTATIONS[name]
    file, mutated = mutation.apply(ROOT)
    assert mutated != (ROOT / file).read_text(encoding="utf-8")
    ast.parse(mutated)
    for test in mutation.tests:
        assert (ROOT / test.partition("::")[0]).exists()
