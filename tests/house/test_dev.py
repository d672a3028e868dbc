"""dev.py: what it writes, finds and refuses before anything is installed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

import dev
from calls.sampledata import SAMPLE_OWN_NUMBERS
from tests.cluster import newest_first
from tests.conftest import ONCE

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes and signals")
ADDED = ["SECRET_KEY", "ADMIN_PASSWORD", "DEBUG", "HTTPS", "OWN_NUMBERS"]


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_the_sample_organisations_numbers_are_those_of_the_sample_calls() -> None:
    assert dev.SAMPLE_OWN_NUMBERS == SAMPLE_OWN_NUMBERS


# -- .env --------------------------------------------------------------------------------------


def test_a_first_start_gets_a_complete_dotenv(dotenv: Path) -> None:
    assert dev.complete_dotenv(dotenv) == ADDED
    values = dotenv_values(dotenv)
    assert list(values) == ADDED
    assert len(values["SECRET_KEY"] or "") >= 50
    assert len(values["ADMIN_PASSWORD"] or "") >= 16
    assert (values["DEBUG"], values["HTTPS"], values["OWN_NUMBERS"]) == ("true", "false", SAMPLE_OWN_NUMBERS)


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_dotenv_is_readable_by_its_owner_only_whatever_the_umask(dotenv: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        dev.complete_dotenv(dotenv)
    finally:
        os.umask(before)
    assert dotenv.stat().st_mode & 0o777 == 0o600


@POSIX
@pytest.mark.parametrize("content", ["DEBUG=false\n", "".join(f"{name}=x\n" for name in ADDED)])
def test_a_dotenv_that_others_could_read_is_closed_to_them(dotenv: Path, content: str) -> None:
    dotenv.write_text(content)
    dotenv.chmod(0o644)
    dev.complete_dotenv(dotenv)
    assert dotenv.stat().st_mode & 0o777 == 0o600


def test_a_second_start_changes_nothing(dotenv: Path) -> None:
    dev.complete_dotenv(dotenv)
    before = dotenv.read_bytes()
    assert dev.complete_dotenv(dotenv) == []
    assert dotenv.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("ADMIN_PASSWORD=mine\n", {"ADMIN_PASSWORD": "mine"}),
        ("ADMIN_PASSWORD=mine", {"ADMIN_PASSWORD": "mine"}),
        ("# a word\r\nADMIN_PASSWORD = 'my own'\r\nDEBUG=0\r\n", {"ADMIN_PASSWORD": "my own", "DEBUG": "0"}),
        ("export SECRET_KEY=mine # a word\n", {"SECRET_KEY": "mine"}),
        ("OWN_NUMBERS=\nDEBUG=\n", {"OWN_NUMBERS": "", "DEBUG": ""}),
        ("OTHER=\N{SNOWMAN}\n", {"OTHER": "\N{SNOWMAN}"}),
    ],
)
def test_what_is_in_dotenv_stays_byte_for_byte(dotenv: Path, content: str, kept: dict[str, str]) -> None:
    dotenv.write_bytes(content.encode())
    added = dev.complete_dotenv(dotenv)
    assert dotenv.read_bytes().startswith(content.encode())
    assert added == [name for name in ADDED if name not in kept]
    values = dotenv_values(dotenv)
    assert values.keys() == kept.keys() | set(ADDED)
    assert {name: values[name] for name in kept} == kept


@pytest.mark.parametrize("content", ["SECRET_KEY=\nADMIN_PASSWORD=''\n", "#SECRET_KEY=x\n# ADMIN_PASSWORD=x\n"])
def test_an_empty_or_commented_secret_counts_as_missing(dotenv: Path, content: str) -> None:
    dotenv.write_text(content)
    assert dev.complete_dotenv(dotenv) == ADDED
    assert len(dotenv_values(dotenv)["SECRET_KEY"] or "") >= 50


def test_a_copy_of_the_example_is_a_possible_dotenv(dotenv: Path) -> None:
    dotenv.write_bytes((ROOT / ".env.example").read_bytes())
    assert dotenv_values(dotenv) == {}
    assert dev.complete_dotenv(dotenv) == ADDED


def test_a_failed_write_leaves_the_old_dotenv_and_no_other_file(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    dotenv.write_text("DEBUG=false\n")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match=r"^$"):
        dev.complete_dotenv(dotenv)
    assert dotenv.read_text() == "DEBUG=false\n"
    assert list(dotenv.parent.iterdir()) == [dotenv]


@POSIX
def test_a_dotenv_that_is_a_link_stays_one(dotenv: Path) -> None:
    target = dotenv.with_name("elsewhere")
    target.write_text("DEBUG=false\n")
    dotenv.symlink_to(target)
    dev.complete_dotenv(dotenv)
    assert dotenv.is_symlink()
    assert "SECRET_KEY=" in target.read_text()


# -- Programs ----------------------------------------------------------------------------------


def test_programs_of_the_virtual_environment_are_found_on_every_system() -> None:
    assert Path(dev.venv_program("python", windows=False)) == ROOT / ".venv" / "bin" / "python"
    assert Path(dev.venv_program("python", windows=True)) == ROOT / ".venv" / "Scripts" / "python.exe"


@pytest.mark.parametrize(
    ("requirements", "version", "pip_runs"),
    [("Django==5.2\n", "3.12.1", 0), ("Django==5.3\n", "3.12.1", 1), ("Django==5.2\n", "3.13.0", 1)],
)
def test_packages_are_installed_only_for_other_requirements_or_another_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirements: str, version: str, pip_runs: int
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "call", lambda command: calls.append(command) or 0)
    for each_requirements, each_version in (("Django==5.2\n", "3.12.1"), (requirements, version)):
        calls.clear()
        (tmp_path / "requirements.txt").write_text(each_requirements)
        monkeypatch.setattr("platform.python_version", lambda now=each_version: now)
        monkeypatch.setattr(dev, "read", lambda command, now=each_version: now)
        dev.install("requirements.txt")
    assert len(calls) == pip_runs
    assert all("--require-hashes" in command for command in calls)


def test_a_failed_installation_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "read", lambda command: "")
    monkeypatch.setattr(dev, "call", lambda command: 1)
    (tmp_path / "requirements.txt").write_text("Django==5.2\n")
    for _ in range(2):
        with pytest.raises(dev.Failed, match="could not install requirements"):
            dev.install("requirements.txt")


def test_the_newest_postgresql_comes_first(tmp_path: Path) -> None:
    root = tmp_path / "version-99"  # a number above the root is none of a version
    for name in ("9.6", "16", "postgresql@17", "pgsql-10"):
        (root / name / "bin").mkdir(parents=True)
    found = [path.parent.name for path in newest_first(root, "*/bin")]
    assert found == ["postgresql@17", "16", "pgsql-10", "9.6"]


def test_the_variable_chromium_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert dev.find_chromium() is None
    monkeypatch.setenv("CHROMIUM", sys.executable)
    assert dev.find_chromium() == sys.executable


@pytest.mark.parametrize(("ci", "fails"), [("true", True), ("", False)])
def test_what_is_left_out_is_loud_and_fails_in_ci_only(monkeypatch: pytest.MonkeyPatch, ci: str, fails: bool) -> None:
    monkeypatch.setenv("CI", ci)
    report = dev.Report()
    report.leave_out("the browser tests", "Chromium", "Install it.")
    assert report.failed is fails
    assert "the browser tests, because Chromium was not found." in "\n".join(report.lines)


# -- run ---------------------------------------------------------------------------------------


def test_a_port_in_use_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "dev.py", "run", "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert str(port) in done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "-1", "eighty", "\N{SUPERSCRIPT TWO}"])
def test_an_impossible_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        dev.main(["run", f"--port={port}"])
    assert end.value.code == 2
    assert "is not a port" in capsys.readouterr().err


SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
RUN_SERVER = "import dev, sys; dev.stop_on_signals(); sys.exit(dev.serve(sys.argv[2:], None, '127.0.0.1', int(sys.argv[1]), ['ready']))"  # noqa: E501


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_stops_the_server_and_is_no_failure(number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", RUN_SERVER, port, sys.executable, "-c", SERVER, port]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        assert child.wait(20) == 0
    assert not dev.is_alive("127.0.0.1", int(port))


@pytest.mark.parametrize(("code", "exit_code"), [(3, 3), (0, 1)])
def test_a_server_that_dies_before_it_answers_is_a_failure(code: int, exit_code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", f"raise SystemExit({code})"]
    assert dev.serve(command, dict(os.environ), "127.0.0.1", port, []) == exit_code


# -- The command line --------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["-k", "hold", "tests/domain"], ["tests/domain", "-k", "hold"], ["-x"], []])
def test_arguments_for_pytest_are_passed_on_in_their_order(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[list[str]] = []
    monkeypatch.setattr(dev, "stop_on_signals", lambda: None)
    monkeypatch.setattr(dev, "test", lambda options: passed.append(options.more) or 0)
    assert dev.main(["test", *arguments]) == 0
    assert passed == [arguments]


def test_what_is_left_out_is_left_out_by_its_marks_and_nothing_else_is() -> None:
    assert dev.pytest_command("python", ["-n", "2"], []) == ["python", "-m", "pytest", "-n", "2"]
    left_out = dev.pytest_command("python", ["-n", "2"], ["browser", "once"])
    assert left_out == ["python", "-m", "pytest", "-m", "not browser and not once", "-n", "2"]


def test_what_runs_once_is_where_it_is_said_to_be() -> None:
    for folder, files in ONCE.items():
        assert files <= {path.name for path in (ROOT / "tests" / folder).glob("test_*.py")}, folder


def test_unknown_arguments_of_other_commands_are_refused() -> None:
    with pytest.raises(SystemExit) as end:
        dev.main(["check", "tests/domain"])
    assert end.value.code == 2


def test_the_makefile_has_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    targets = (ROOT / "Makefile").read_text(encoding="utf-8").partition(".PHONY: ")[2].partition("\n")[0].split()
    with pytest.raises(SystemExit):
        dev.main(["--help"])
    shown = capsys.readouterr().out
    assert targets
    assert [name for name in targets if f"    {name} " not in shown] == []
