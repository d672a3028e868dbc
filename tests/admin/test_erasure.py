"""Erasing a number in the admin."""

from typing import Any

import pytest

from calls.admin import erasure
from calls.models import Call, ErasureReceipt
from calls.operations.record import record
from tests.admin.pages import make_staff, messages_of, rows_of, text_of, visit
from tests.build import build_event

PAGE, RECEIPTS = "/admin/erase-number/", "/admin/calls/erasurereceipt/"
NUMBER = "+12025550123"

pytestmark = pytest.mark.django_db


def make(calls: int = 2) -> None:
    record([build_event(call_id=f"call-{place}", calling_number=NUMBER) for place in range(calls)])


def left() -> int:
    return Call.objects.filter(calling_number=NUMBER).count()


def test_what_holds_the_number_is_shown_and_nothing_is_changed() -> None:
    make()
    response = visit().post(PAGE, {"number": "+1 (202) 555-0123"})
    assert "calls 2" in text_of(response.content.decode())
    assert "no-store" in response["Cache-Control"]
    assert left() == 2


def test_it_is_erased_once_it_was_typed_again() -> None:
    make()
    browser = visit()
    response = browser.post(PAGE, {"number": NUMBER, "again": "+12025550124"})
    assert "The two numbers differ" in messages_of(response)[0]
    assert left() == 2
    response = browser.post(PAGE, {"number": NUMBER, "again": NUMBER}, follow=True)
    assert left() == 0
    receipt = ErasureReceipt.objects.get()
    assert receipt.asked_by is not None
    assert NUMBER[1:] not in response.content.decode()
    assert rows_of(response)[0][2:4] == [receipt.asked_by_name, receipt.pseudonym]
    page = browser.get(f"{RECEIPTS}{receipt.pk}/change/")
    assert receipt.number_hmac in page.content.decode()


def test_a_receipt_is_found_by_the_number() -> None:
    make()
    browser = visit()
    browser.post(PAGE, {"number": NUMBER, "again": NUMBER})
    assert len(rows_of(browser.get(RECEIPTS, {"q": "+1 202 555 0123"}))) == 1
    assert rows_of(browser.get(RECEIPTS, {"q": "+12025550124"})) == []
    lines = b"".join(browser.get(f"{RECEIPTS}export.csv")).decode().splitlines()
    assert len(lines) == 2
    assert ErasureReceipt.objects.get().number_hmac in lines[1]


def test_what_takes_longer_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    browser = visit()
    monkeypatch.setattr(erasure, "PATIENCE_SECONDS", -1.0)
    response = browser.post(PAGE, {"number": NUMBER, "again": NUMBER})
    assert "Not finished yet" in messages_of(response)[0]
    monkeypatch.undo()
    browser.post(PAGE, {"number": NUMBER, "again": NUMBER})
    assert left() == 0
    assert ErasureReceipt.objects.get().finished_at is not None


@pytest.mark.parametrize("number", ["", "100", "<script>x</script>", "+12"])
def test_what_is_no_number_is_refused(number: str) -> None:
    response = visit().post(PAGE, {"number": number})
    assert messages_of(response)
    assert "<script>x" not in response.content.decode()


@pytest.mark.parametrize("rights", [(), ("view_call", "view_erasurereceipt", "change_callrecording")])
def test_only_those_with_the_right_may_erase(rights: tuple[str, ...]) -> None:
    make()
    browser = visit(make_staff(*rights))
    assert browser.get(PAGE).status_code == 403
    assert browser.post(PAGE, {"number": NUMBER, "again": NUMBER}).status_code == 403
    assert left() == 2


def test_a_receipt_can_be_neither_changed_nor_deleted() -> None:
    make()
    browser = visit()
    browser.post(PAGE, {"number": NUMBER, "again": NUMBER})
    receipt = ErasureReceipt.objects.get()
    for part, form in (("change", {"asked_by_name": "x"}), ("delete", {"post": "yes"})):
        answer: Any = browser.post(f"{RECEIPTS}{receipt.pk}/{part}/", form)
        assert answer.status_code == 403
    assert browser.get(f"{RECEIPTS}add/").status_code == 403
