"""`manage.py rebuild_calls`: prints what differs, goes on where it stopped, and its exit status says what it found."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from calls.domain.events import call_uuid
from calls.management.commands import rebuild_calls
from calls.models import Call
from calls.operations.record import record
from tests.build import build_event, read_table

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _calls() -> None:
    for call in ("call-1", "call-2"):
        record(read_table("0:00 initiated \n 0:10 answered \n 2:00 ended", call_id=call))
    record([build_event(call_id="call-3", calling_number="+12025550111", called_number="+12025550122")])


def run(*options: str) -> str:
    out = StringIO()
    call_command("rebuild_calls", *options, stdout=out, stderr=out)
    return out.getvalue()


def spoil(*calls: str) -> None:
    Call.objects.filter(external_id__in=calls).update(status="busy", duration=None)


def busy() -> list[str]:
    return sorted(Call.objects.filter(status="busy").values_list("external_id", flat=True))


def test_a_healthy_database_has_no_difference() -> None:
    assert run("--dry-run") == "3 calls compared with their events, 0 differ.\n"
    assert run() == "3 calls compared with their events, 0 differ.\n"


def test_a_dry_run_prints_each_field_and_fails() -> None:
    spoil("call-1")
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 3 calls differ") as failure:
        call_command("rebuild_calls", "--dry-run", stdout=out)
    assert failure.value.returncode == 1
    assert out.getvalue().splitlines() == [
        f"call-1 ({call_uuid('call-1')})",
        "  status: busy -> ended",
        "  duration: nothing -> 120",
    ]
    assert busy() == ["call-1"]


def test_a_run_mends_what_differs() -> None:
    spoil("call-1", "call-2")
    assert "3 calls compared with their events, 2 rebuilt." in run()
    assert busy() == []


@pytest.mark.parametrize(
    "options",
    [
        ["--call", "call-1"],
        ["--call", str(call_uuid("call-1"))],
        ["--number", "+1234567890", "--call", "call-1"],
        ["--since", "2024-04-01T12:00:00Z", "--call", "call-1"],
    ],
)
def test_only_the_named_calls_are_rebuilt(options: list[str]) -> None:
    spoil("call-1", "call-2", "call-3")
    run(*options)
    assert busy() == ["call-2", "call-3"]


def test_calls_of_a_number_or_changed_since_are_rebuilt() -> None:
    spoil("call-1", "call-2", "call-3")
    run("--number", "+12025550122")
    assert busy() == ["call-1", "call-2"]
    run("--since", "2030-01-01")
    assert busy() == ["call-1", "call-2"]


def test_a_stopped_run_says_where_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil("call-1", "call-2", "call-3")
    real = rebuild_calls.rebuild

    def stopped(*args: Any, **options: Any) -> Any:
        yield next(real(*args, **options, stretch=2))
        raise KeyboardInterrupt

    monkeypatch.setattr(rebuild_calls, "rebuild", stopped)
    err = StringIO()
    with pytest.raises(SystemExit) as stop:
        call_command("rebuild_calls", stdout=StringIO(), stderr=err)
    assert stop.value.code == 130
    ids = sorted(Call.objects.values_list("pk", flat=True))
    assert err.getvalue() == f"Stopped. Go on with --after {ids[1]}\n"
    assert len(busy()) == 1
    monkeypatch.setattr(rebuild_calls, "rebuild", real)
    assert "1 calls compared with their events, 1 rebuilt." in run("--after", str(ids[1]))
    assert busy() == []


@pytest.mark.parametrize("options", [["--call", "nothing"], ["--since", "yesterday"], ["--after", "x"]])
def test_what_makes_no_sense_is_refused(options: list[str]) -> None:
    with pytest.raises(CommandError):
        run(*options)
