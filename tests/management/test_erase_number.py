"""`manage.py erase_number`."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from calls.models import Call, ErasureReceipt
from calls.operations.record import record
from tests.build import build_event

NUMBER = "+12025550123"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _calls(db: None) -> None:
    record([build_event(call_id=f"call-{place}", calling_number=NUMBER) for place in range(3)])


def erase(*options: str, typed: str = "", monkeypatch: Any = None) -> str:
    out = io.StringIO()
    if monkeypatch is not None:
        monkeypatch.setattr("builtins.input", lambda *question: typed)
    call_command("erase_number", *options, stdout=out)
    return out.getvalue()


def left() -> int:
    return Call.objects.filter(calling_number=NUMBER).count()


def test_it_erases_once_the_number_was_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="Nothing was erased"):
        erase(NUMBER, typed="+12025550124", monkeypatch=monkeypatch)
    assert left() == 3
    said = erase("+1 202 555-0123", typed=NUMBER, monkeypatch=monkeypatch)
    assert left() == 0
    assert "calls: 3" in said
    assert f"receipt {ErasureReceipt.objects.get().pk}" in said
    assert NUMBER[1:] not in said


def test_a_dry_run_only_counts() -> None:
    said = erase(NUMBER, "--dry-run")
    assert "calls: 3" in said
    assert "Nothing was changed" in said
    assert left() == 3
    assert not ErasureReceipt.objects.exists()


def test_the_number_may_come_from_standard_input_where_no_history_of_commands_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    erase("-", "--yes", typed=NUMBER, monkeypatch=monkeypatch)
    assert left() == 0


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(CommandError, match=r"E\.164"):
        erase("anonymous", "--yes")
