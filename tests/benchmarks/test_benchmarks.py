"""Every benchmark runs, and every call is what its events add up to after it. No time is asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import MEASURES, MORE
from benchmarks.figures import Figure, in_turns, table
from tests.cluster import find_programs

ROOT = Path(__file__).parents[2]


def run(*names: str) -> tuple[list[dict[str, Any]], str]:
    """Return the figures of a quick run, and what it said."""
    words = [sys.executable, "-m", "benchmarks", *names, "--quick", "--json"]
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(words, cwd=ROOT, env=kept, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["figures"]), done.stderr


@pytest.mark.postgresql
@pytest.mark.skipif(find_programs() is None, reason="needs PostgreSQL's server programs")
def test_every_benchmark_runs_and_leaves_every_call_equal_to_the_fold_of_its_events() -> None:
    figures, said = run(*MEASURES, *MORE)
    assert [name for name in (*MEASURES, *MORE) if f"== {name}\n" not in said] == []
    assert len(figures) > len(MEASURES)
    folds = [one for one in figures if one["figure"] == "17"]
    assert folds
    assert [one["median"] for one in folds] == [0.0] * len(folds)
    assert all(one["rounds"] or one["note"] for one in figures)


def test_the_table_says_what_was_met() -> None:
    met, missed, absent = (Figure(name, name, 0.5, True) for name in "abc")
    for value in (0.4, 0.7, 0.6):
        met.take(value, ours=value)
        missed.take(value / 2)
    absent.note = "known elsewhere only"
    lines = table([met, missed, absent]).splitlines()
    assert lines[2] == "| a | a | >= 0.5 | 0.6 (0.4 … 0.7) | ours 0.6 | met |"
    assert lines[3].endswith("| **not met** |")
    assert "known elsewhere only" in lines[4]
    assert lines[4].endswith("| not measured |")


def test_sides_are_measured_in_turns() -> None:
    order: list[str] = []
    in_turns(3, {name: lambda name=name: order.append(name) for name in "ab"}, lambda text: None)  # type: ignore[misc]
    assert order == ["a", "b", "b", "a", "a", "b"]
