"""`create_test_data.py` as somebody runs it: a process of its own, on a database of its own."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNTIL = ("--until", "2024-04-10T12:00:00Z", "--seed", "7")


def hear_ctrl_c() -> None:
    """Undo what a shell does to jobs in its background, which would be deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Shell:
    """A command line with an SQLite database in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "sample.sqlite3"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "SYSTEMROOT")},
            "SECRET_KEY": "tests-only",
            "DEBUG": "true",
            "DATABASE_URL": f"sqlite:///{self.database.as_posix()}",
            "DJANGO_SETTINGS_MODULE": "phonegoggles.settings",
            "OWN_NUMBERS": "+120255501",
            "PYTHONIOENCODING": "utf-8",
        }

    def start(self, *command: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            preexec_fn=None if sys.platform == "win32" else hear_ctrl_c,
        )

    def run(self, *command: str) -> tuple[int, str, str]:
        process = self.start(*command)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def make(self, *options: str) -> tuple[int, str, str]:
        return self.run("create_test_data.py", *options)

    def count(self, table: str) -> int:
        connection = sqlite3.connect(self.database)
        try:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - names of ours
        finally:
            connection.close()


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shell = Shell(tmp_path_factory.mktemp("migrated"))
    code, _, err = shell.run("manage.py", "migrate", "-v0")
    assert code == 0, err
    return shell.database


@pytest.fixture
def shell(tmp_path: Path, migrated: Path) -> Shell:
    shell = Shell(tmp_path)
    with sqlite3.connect(migrated) as source, sqlite3.connect(shell.database) as target:
        source.backup(target)
    source.close()
    target.close()
    return shell


def test_it_makes_the_calls_and_says_where_to_look(shell: Shell) -> None:
    code, out, err = shell.make("--calls", "120", *UNTIL)
    assert (code, err) == (0, "")
    assert shell.count("calls_call") == 120
    assert "Made 120 calls from 2024-03-27 12:00 to 2024-04-10 12:00 UTC." in out
    events = re.search(r"Events: (\d+) new, (\d+) duplicates?\.", out)
    assert events is not None
    assert int(events[1]) == shell.count("calls_callevent")
    assert int(events[2]) > 0
    assert re.search(r"By status: ended \d+, .*missed \d+", out)
    assert "/admin/calls/callevent/" in out
    assert shell.count("calls_sipconfiguration") == 1
    assert re.search(r"curl -H .* http://127\.0\.0\.1:8000/call-history/\+120255501\d\d/", out)


def test_the_printed_command_gives_the_same_calls_and_only_duplicates(shell: Shell) -> None:
    _, out, _ = shell.make("--calls", "60")
    command = re.search(r"python (create_test_data\.py .*)", out)
    assert command is not None
    before = shell.count("calls_callevent")
    code, out, err = shell.run(*command[1].split())
    assert (code, err) == (0, "")
    assert "so nothing changed" in out
    assert shell.count("calls_callevent") == before


def test_another_seed_adds_calls(shell: Shell) -> None:
    shell.make("--calls", "20", "--seed", "1")
    shell.make("--calls", "20", "--seed", "2")
    assert shell.count("calls_call") == 40


def test_if_empty_makes_calls_once_and_then_none(shell: Shell) -> None:
    assert shell.make("--calls", "20", "--if-empty")[0] == 0
    assert shell.count("calls_call") == 20
    code, out, _ = shell.make("--calls", "20", "--if-empty")
    assert code == 0
    assert "nothing was made" in out
    assert shell.count("calls_call") == 20


def test_ongoing_calls_are_as_many_as_asked_for(shell: Shell) -> None:
    shell.make("--calls", "20", "--ongoing", "7")
    assert shell.count("calls_call WHERE ended_at IS NULL") == 7


def test_an_unmigrated_database_is_refused_in_one_line(tmp_path: Path) -> None:
    code, out, err = Shell(tmp_path).make()
    assert (code, out) == (1, "")
    assert "manage.py migrate" in err
    assert err.count("\n") == 1


def test_a_missing_setting_is_named_without_a_traceback(shell: Shell) -> None:
    shell.environment["SECRET_KEY"] = ""
    code, _, err = shell.make()
    assert code == 1
    assert "SECRET_KEY is not set" in err
    assert "Traceback" not in err


def test_without_own_numbers_it_says_how_calls_get_a_direction(shell: Shell) -> None:
    shell.environment["OWN_NUMBERS"] = ""
    code, out, _ = shell.make("--calls", "20")
    assert code == 0
    assert "set OWN_NUMBERS=+120255501" in out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--calls -1", "--calls: must be a whole number from 1"),
        ("--calls many", "--calls: must be a whole number from 1"),
        ("--days 0", "--days: must be a whole number from 1"),
        ("--numbers 99999999", "--numbers: must be a whole number from 1 to 20,000"),
        ("--ongoing 8 --calls 7", "--ongoing: 8 is more than the 7 of --calls"),
        ("--seed x", "--seed: must be a whole number"),
        ("--until yesterday", "--until: Must be an ISO 8601 date and time"),
        ("--until 2098-01-01T00:00:00Z", "--until: 2098-01-01T00:00:00Z is in the future"),
        ("--until 1970-01-03T00:00:00Z", "--days: they would begin before 1970"),
    ],
)
def test_a_wrong_option_is_explained(tmp_path: Path, options: str, complaint: str) -> None:
    shell = Shell(tmp_path)
    code, out, err = shell.make(*options.split())
    assert (code, out) == (2, "")
    assert complaint in err
    assert not shell.database.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_ends_it_politely_and_what_was_committed_stays(shell: Shell) -> None:
    process = shell.start("create_test_data.py", "--calls", "200000", "--numbers", "20", "--seed", "1")
    deadline = time.monotonic() + 60
    while shell.count("calls_callevent") == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in err
    assert "stay" in err
    assert "Traceback" not in err
    assert shell.count("calls_callevent") > 0
