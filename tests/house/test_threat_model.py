"""The threat model names what proves it; what it names is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROWS = [
    line.strip("|").split("|")
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| threat "))
]


@cache
def functions_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:60])
def test_every_threat_is_answered_by_tests_that_exist(row: list[str]) -> None:
    threat, defence, proof = (cell.strip() for cell in row)
    assert threat
    assert defence
    named = NAMED.findall(proof)
    assert named
    assert NAMED.sub("", proof).strip(", ") == ""  # nothing else stands there, misspelled or not
    for path, name in named:
        assert name in functions_in(path), f"{path} has no {name}"


def test_the_page_has_many_rows_and_says_what_is_not_defended() -> None:
    assert len(ROWS) > 40
    assert len(re.findall(r"^- ", PAGE.partition("## What is not defended")[2], re.MULTILINE)) > 5


def test_no_test_stands_outside_of_the_table_unchecked() -> None:
    assert len(re.findall(r"::test_", PAGE)) == sum(len(NAMED.findall(row[2])) for row in ROWS)
