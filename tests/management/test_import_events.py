"""`manage.py import_events`: what the API would take is recorded, and refused what it would refuse."""

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from calls.ingest import bulk, files
from calls.ingest.files import BrokenFile, Form, records
from calls.management.commands import import_events
from calls.models import Call, CallEvent
from tests.build import report, sip_report
from tests.operations.health import assert_calls_follow_from_their_events

pytestmark = pytest.mark.django_db(transaction=True)

REPORTS = [
    report(
        event_id=f"{call}-{word}", call_id=f"call-{call}", event=word, created_at=f"2024-04-01T12:{call:02}:{at:02}Z"
    )
    for call in range(20)
    for at, word in enumerate(("INITIATE", "ANSWER", "DISCONNECT"))
]


def as_ndjson(reports: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in reports)


def as_json(reports: list[dict[str, Any]]) -> bytes:
    return json.dumps(reports, indent=1).encode()


def as_csv(reports: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(reports[0]))
    writer.writeheader()
    writer.writerows(reports)
    return out.getvalue().encode()


WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {"ndjson": as_ndjson, "json": as_json, "csv": as_csv}


def run(*words: Any) -> tuple[int, str]:
    """Run the command; return its exit status and all it said."""
    out = io.StringIO()
    try:
        call_command("import_events", *map(str, words), stdout=out, stderr=out)
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", list(WRITERS))
@pytest.mark.parametrize("jobs", [1, 3])
def test_every_kind_of_file_makes_the_same_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, packed: bool, jobs: int
) -> None:
    monkeypatch.setattr(bulk, "STRETCH", 100 if packed else 25)
    content = WRITERS[form](REPORTS)
    path = tmp_path / (f"events.{form}.gz" if packed else "events")  # found out by name, or by the beginning
    path.write_bytes(gzip.compress(content) if packed else content)
    assert run(path, "--jobs", jobs) == (0, "60 recorded, 0 known already, 0 refused.\n")
    assert set(Call.objects.values_list("status", "duration")) == {("ended", 2)}
    assert run(path) == (0, "0 recorded, 60 known already, 0 refused.\n")
    assert_calls_follow_from_their_events()


def test_processes_side_by_side_tell_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = [{**one, "created_at": "2024-04-02T00:00:00Z"} for one in REPORTS[:30]]
    broken = b"{broken\n" + as_ndjson([{**REPORTS[0], "call_id": 1.5}]) + b"[1]\n"
    path = tmp_path / "events.ndjson"
    path.write_bytes(as_ndjson(REPORTS) + as_ndjson(REPORTS[:10]) + broken + as_ndjson(other))
    monkeypatch.setattr(bulk, "STRETCH", 9)
    told = {}
    for jobs in (1, 3):
        refused = tmp_path / f"refused-{jobs}"
        said = run(path, "--dry-run", "--jobs", jobs, "--refused", refused)
        assert said[0] == 1
        assert CallEvent.objects.count() == 0
    for jobs in (1, 3):
        refused = tmp_path / f"refused-{jobs}"
        CallEvent.objects.all().delete()
        Call.objects.all().delete()
        said = run(path, "--jobs", jobs, "--refused", refused)
        stored = sorted(CallEvent.objects.values_list("event_id", "call_id", "occurred_at"))
        states = sorted(Call.objects.values_list("pk", "status", "duration", "version"))
        told[jobs] = said, refused.read_bytes(), stored, states
    assert told[3] == told[1]
    assert told[1][0] == (1, "60 recorded, 10 known already, 33 refused.")
    assert_calls_follow_from_their_events()


def test_ctrl_c_stops_all_processes_and_the_rest_can_follow(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    reports = [{**one, "call_id": f"{one['call_id']}-{turn}", "event_id": f"{one['event_id']}-{turn}"}
        for turn in range(1000) for one in REPORTS]  # fmt: skip
    path.write_bytes(as_ndjson(reports))
    database = f"{connection.settings_dict['NAME']}"
    words = [sys.executable, "-c", STARTER, database, "import_events", str(path), "--jobs", "2"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not path.with_name("events.ndjson.imported").exists():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group hears of it
        said = process.communicate()[1]  # to its end, which only comes when no process is left
    assert process.returncode == 130
    assert "Stopped. --resume goes on" in said
    assert "Traceback" not in said
    assert 0 < CallEvent.objects.count() < len(reports)
    status, told = run(path, "--resume")
    assert status == 0, told
    assert CallEvent.objects.count() == len(reports)


# manage.py, on the database of the tests.
STARTER = """
import os, sys
import django
django.setup()
from django.core.management import execute_from_command_line
from django.db import connection, connections
connections.settings[connection.alias]["NAME"] = connection.settings_dict["NAME"] = sys.argv.pop(1)
execute_from_command_line(sys.argv)
"""


def test_a_process_that_dies_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(as_ndjson(REPORTS))
    monkeypatch.setattr(bulk, "STRETCH", 9)
    monkeypatch.setattr(bulk, "_judge_and_write", die)
    status, said = run(path, "--jobs", 2)
    assert status == 2
    assert "A writing process has ended unexpectedly. --resume goes on." in said
    monkeypatch.undo()
    assert run(path, "--resume") == (0, "60 recorded, 0 known already, 0 refused.\n")


def die(*_: Any, **__: Any) -> None:
    """What a writing process does that the system kills, say for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_standard_input_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    monkeypatch.setattr(import_events.sys, "stdin", SimpleNamespace(buffer=Pipe(gzip.compress(as_json(REPORTS)))))
    assert run("-") == (0, "60 recorded, 0 known already, 0 refused.\n")


def test_the_words_of_sip_servers_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "sip.ndjson"
    path.write_bytes(as_ndjson([sip_report(), sip_report("call_busy", 5)]))
    assert run(path, "--vocabulary", "sip")[0] == 0
    assert Call.objects.get().status == "busy"


def test_what_is_refused_is_reported_by_line_and_spoils_nothing_else(tmp_path: Path) -> None:
    wrong = {**REPORTS[1], "calling_number": "12345"}
    conflict = {**REPORTS[0], "created_at": "2024-04-02T00:00:00Z"}
    path, refused = tmp_path / "events.ndjson", tmp_path / "refused.ndjson"
    path.write_bytes(as_ndjson([REPORTS[0]]) + b"\n{broken\n" + as_ndjson([wrong, conflict, REPORTS[2]]) + b"\xff\n")
    status, said = run(path, "--refused", refused)
    assert (status, said) == (1, "2 recorded, 0 known already, 4 refused.")
    told = [json.loads(line) for line in refused.read_text().splitlines()]
    assert [(one["line"], one["code"], one["event_id"]) for one in told] == [
        (3, "invalid_json", None),
        (4, "invalid", "0-ANSWER"),
        (5, "conflict", "0-INITIATE"),
        (7, "invalid_json", None),
    ]
    assert list(told[1]["errors"]) == ["calling_number"]
    assert json.loads(told[1]["text"]) == wrong  # to be mended and imported


def test_refusals_are_shown_where_no_file_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(as_csv([{**REPORTS[0], "event": "RING"}]) + b"one cell\n")
    status, said = run(path)
    assert status == 1
    assert "line 2: invalid. event: Must be one of INITIATE, ANSWER, DISCONNECT." in said
    assert "line 3: unreadable. non_field_errors: The row has 1 cells, and the header 6." in said


def test_a_dry_run_judges_and_stores_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_bytes(as_json(REPORTS))
    assert run(path, "--dry-run") == (
        0,
        "Nothing was stored. It would have been: 60 recorded, 0 known already, 0 refused.\n",
    )
    assert CallEvent.objects.count() == 0
    assert [one.name for one in tmp_path.iterdir()] == ["events.json"]


@pytest.mark.parametrize("form", list(WRITERS))
@pytest.mark.parametrize("packed", [False, True])
def test_a_stopped_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, packed: bool
) -> None:
    content = WRITERS[form](REPORTS)
    path = tmp_path / f"events.{form}"
    path.write_bytes(gzip.compress(content) if packed else content)
    monkeypatch.setattr(bulk, "STRETCH", 7)
    real, done = bulk.record, []

    def dying(events: Any, **options: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(len(events))
        return real(events, **options)

    monkeypatch.setattr(bulk, "record", dying)
    with pytest.raises(SystemExit) as stop:
        run(path, "--jobs", 1)
    assert stop.value.code == 130
    assert CallEvent.objects.count() == 21
    monkeypatch.setattr(bulk, "record", real)
    status, said = run(path, "--resume")
    assert status == 0, said
    created, known = _counts(said)
    assert created == 39
    assert known <= 21 - 7  # at most what was committed but not noted yet is read again
    assert CallEvent.objects.count() == 60
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def _counts(said: str) -> tuple[int, int]:
    words = said.split()
    return int(words[0]), int(words[2])


def test_a_checkpoint_of_another_content_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_bytes(as_json(REPORTS)[:-200])
    status, said = run(path)
    assert status == 2
    assert "does not end" in said
    assert CallEvent.objects.count() > 50  # what came before is recorded
    path.write_bytes(as_json(REPORTS[3:]))
    status, said = run(path, "--resume")
    assert (status, CallEvent.objects.count() < 60) == (2, True)
    assert "another content" in said
    assert run(path)[0] == 0


@pytest.mark.parametrize(
    "content",
    [b"[1, 2", b'["abc', b'{"a": 1}, {}', b'[{"a": "' + b"x" * (3 * files.LONGEST), b"[1] 2", b"1, 2]", b"\x1f\x8bxx"],
)
def test_a_file_that_is_no_array_is_refused_clearly(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.json"
    path.write_bytes(content)
    status, said = run(path)
    assert status == 2
    assert str(path) in said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert run(tmp_path / "none")[0] == 2


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=9), st.sampled_from([None, 2]), st.integers(1, 40), st.booleans())
def test_an_array_is_cut_into_its_elements_wherever_the_reading_stops(
    values: list[Any], indent: int | None, chunk: int, ascii: bool
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii).encode()
    before, files.CHUNK = files.CHUNK, chunk
    try:
        found = list(records(io.BytesIO(text), Form.JSON))
        assert [json.loads(one.text) for one in found] == values
        for number, one in enumerate(found[:-1]):  # and from any place it goes on as if it had never stopped
            file = io.BytesIO(text)
            file.seek(one.next_byte)
            rest = list(records(file, Form.JSON, byte=one.next_byte, line=one.next_line))
            assert rest == found[number + 1 :]
    finally:
        files.CHUNK = before


def test_an_element_that_is_broken_spoils_no_other() -> None:
    found = [one.text.strip() for one in records(io.BytesIO(b'[{"a": 1}, {"b": }, , {"c": 3}]'), Form.JSON)]
    assert found == [b'{"a": 1}', b'{"b": }', b"", b'{"c": 3}']


def test_a_csv_without_a_proper_header_is_refused() -> None:
    with pytest.raises(BrokenFile):
        list(records(io.BytesIO(b"a,a\n1,2\n"), Form.CSV))
