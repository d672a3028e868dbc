"""The parsers, fuzzed for a moment: what is declared holds for any bytes (longer: `python3 dev.py fuzz`)."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import NO_ATHERIS
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
SECONDS = 1
PLANTED = """
import sys, tests.fuzz.__main__ as program
program.load()
from tests.fuzz.targets import TARGETS, Target
def check(data):
    if data[:1] == b"(" and data[1:2] == b")":
        raise ValueError("planted")
TARGETS["planted"] = Target(check, lambda: [b"(("], 8)
sys.argv = ["fuzz", "--seconds", "20", "planted"]
sys.exit(program.main())
"""


@pytest.fixture
def atheris() -> None:
    """Leave out, loudly, what needs atheris where that is not."""
    if importlib.util.find_spec("atheris") is None:
        if os.environ.get("CI", "").lower() == "true" and sys.platform == "linux" and sys.version_info < (3, 14):
            pytest.fail(NO_ATHERIS)
        pytest.skip(f"NOT CHECKED: {NO_ATHERIS}")


def fuzz(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_declared_holds_where_the_search_begins(name: str) -> None:
    seeds = TARGETS[name].seeds()
    assert seeds
    for seed in seeds:
        TARGETS[name].check(seed)
        TARGETS[name].check(seed[: len(seed) // 2])


@pytest.mark.usefixtures("atheris")
def test_no_parser_breaks_whatever_the_bytes() -> None:
    done = fuzz("-m", "tests.fuzz", "--seconds", str(SECONDS), "--at-once", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    executions = dict(re.findall(r"^(\S+) +([\d,]+)  nothing found$", done.stdout, re.MULTILINE))
    assert executions.keys() == TARGETS.keys()
    assert all(int(count.replace(",", "")) > 100 for count in executions.values()), executions


@pytest.mark.usefixtures("atheris")
def test_a_fault_is_found_and_kept() -> None:
    done = fuzz("-c", PLANTED)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FOUND SOMETHING" in done.stdout
    [folder] = re.findall(r"^Logs, and what broke a property: (.*)$", done.stdout, re.MULTILINE)
    broken = Path(folder) / "planted-broken"
    assert broken.read_bytes()[:2] == b"()"
    shutil.rmtree(folder)
