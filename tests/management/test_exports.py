"""`manage.py export_events` and `export_calls`: everything that was chosen, in flat memory, and back again."""

import csv
import gzip
import io
import json
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from calls.domain.vocabulary import Source
from calls.models import Call, CallEvent
from calls.models.calls import DERIVED_FIELDS, STATE_FIELDS
from calls.operations.cleanup import remove_calls
from calls.operations.record import record
from calls.queries import exports
from tests.build import CALLEE, NOON, build_event, read_table

pytestmark = pytest.mark.django_db(transaction=True)
STORED = ("external_id", "created_at", *STATE_FIELDS, *DERIVED_FIELDS)


def run(name: str, *words: Any) -> str:
    out = io.StringIO()
    call_command(name, *map(str, words), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def odd_calls() -> None:
    """Calls with all that an event can say: several sources, users, causes, assumed ends, strange ids."""
    user = User.objects.create_user("ada").pk
    record(read_table("0:00 initiated way=inbound \n 0:05 ringing \n 1:00 ended cause=busy", call_id="=1+1"))
    record(read_table(f"0:00 initiated by=api user={user} \n 0:10 answered by=sip \n 0:50 ended", call_id="call,2"))
    record(read_table("0:00 initiated kind=video \n 9:00 ended by=inferred", call_id="päuse 3"))
    record(read_table("0:00 answered \n 0:20 transfer_completed to=+4930123 by=sip", call_id="call-4"))
    record([build_event("dtmf", 3, call_id="call-4", metadata={"digit": "1", "nested": {"a": [1, None, "ü"]}})])
    record([build_event(call_id="call-5", calling_number="anonymous", source=Source.SIP)])


def everything() -> list[tuple[Any, ...]]:
    return list(Call.objects.order_by("pk").values_list("pk", *STORED))


def log() -> list[tuple[Any, ...]]:
    columns = [field.attname for field in CallEvent._meta.concrete_fields if field.attname != "id"]
    return sorted(CallEvent.objects.values_list(*columns), key=str)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
def test_what_is_exported_and_imported_makes_the_same_events_and_calls(tmp_path: Path, name: str, jobs: int) -> None:
    odd_calls()
    calls, events = everything(), log()
    run("export_events", "--output", tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    CallEvent.objects.all().delete()
    Call.objects.all().delete()
    assert "refused" in run("import_events", tmp_path / name, "--vocabulary", "stored", "--jobs", jobs)
    assert len(calls) == 5
    assert everything() == calls
    assert log() == events


def test_a_user_who_is_unknown_here_is_refused_and_not_forgotten(tmp_path: Path) -> None:
    odd_calls()
    path = tmp_path / "events"
    path.write_text(run("export_events").replace('"ada"', '"bob"'))
    remove_calls("")
    with pytest.raises(Exception, match="1 refused") as refused:
        run("import_events", path, "--vocabulary", "stored")
    assert refused.value.returncode == 1  # type: ignore[attr-defined]


def test_a_csv_of_events_is_safe_for_spreadsheets_and_has_every_column() -> None:
    odd_calls()
    rows = list(csv.DictReader(io.StringIO(run("export_events", "--format", "csv"))))
    assert len(rows) == CallEvent.objects.count()
    assert {row["call_id"] for row in rows} == {"'=1+1", "call,2", "päuse 3", "call-4", "call-5"}
    assert {row["called_number"] for row in rows} == {CALLEE}  # a number stays a number
    assert json.loads(next(row["metadata"] for row in rows if row["metadata"]))["digit"] == "1"


def test_calls_have_the_keys_and_values_of_the_api(groups: None, analyst: Any) -> None:
    odd_calls()
    told = {one["id"]: one for one in analyst.get("/api/call-logs/").json()["results"]}
    rows = [json.loads(line) for line in run("export_calls").splitlines()]
    assert [row["started_at"] for row in rows] == sorted(row["started_at"] for row in rows)
    assert len(rows) == len(told) == 5
    for row in rows:
        theirs = {name: value for name, value in told[row["id"]].items() if name != "call_id"}
        assert {**row, **theirs} == row


def test_calls_are_chosen_by_time_number_status_and_direction(tmp_path: Path) -> None:
    odd_calls()
    later = NOON + timedelta(hours=1)
    record([build_event(call_id="later", occurred_at=later, calling_number="+4930999", called_number="+4930998")])

    def chosen(*words: str) -> set[str]:
        ids = [json.loads(line)["sip_call_id"] for line in run("export_calls", *words).splitlines()]
        assert len(ids) == len(set(ids))
        return set(ids)

    assert chosen("--from", later.isoformat()) == chosen("--number", "+4930999") == {"later"}
    assert "later" not in chosen("--to", later.isoformat())
    assert len(chosen("--to", later.isoformat())) == 5
    assert chosen("--status", "busy") == chosen("--direction", "inbound") == {"=1+1"}
    run("export_calls", "--number", "+4930998", "--output", tmp_path / "calls.csv.gz")
    assert gzip.decompress((tmp_path / "calls.csv.gz").read_bytes()).count(b"\r\n") == 2


def test_stretches_join_without_a_gap_where_calls_begin_at_the_same_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    record([build_event(call_id=f"call-{n}", seconds=n // 5) for n in range(33)])
    for number in (None, CALLEE):
        found = [call for part in exports.walk_calls(exports.Choice(number=number), stretch=2) for call in part]
        assert len(found) == len({call.pk for call in found}) == 33
        assert found == sorted(found, key=lambda call: (call.started_at, call.pk))


def test_memory_does_not_grow_with_the_number_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def peak() -> int:
        tracemalloc.start()
        try:
            run("export_events", "--output", tmp_path / "events.ndjson")
            run("export_calls", "--output", tmp_path / "calls.csv")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def fill(first: int, last: int) -> None:
        record([build_event(call_id=f"call-{n}", seconds=n, metadata={"text": "x" * 200}) for n in range(first, last)])

    monkeypatch.setattr(exports.walk_calls, "__kwdefaults__", {"stretch": 100})
    monkeypatch.setattr(exports.walk_events, "__kwdefaults__", {"stretch": 100})
    fill(0, 300)
    peak()  # what is loaded once
    few = peak()
    fill(300, 3000)
    assert (tmp_path / "events.ndjson").stat().st_size > 0
    assert peak() < 1.5 * few
