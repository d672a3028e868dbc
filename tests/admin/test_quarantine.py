"""Refused reports in the admin: found, read, mended, replayed, dismissed, by those who may."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from calls.models import CallEvent, RefusedReport
from calls.operations.quarantine import Refusal, keep
from tests.admin.pages import REFUSED, make_staff, messages_of, page_of, rows_of, text_of, visit
from tests.build import at, report, sign_in, sip_report

pytestmark = pytest.mark.django_db


@pytest.fixture
def refused(telephony: Client) -> RefusedReport:
    telephony.post(
        "/process-events/", json.dumps(report(event_id="e1", event="HANGUP")), content_type="application/json"
    )
    return RefusedReport.objects.get()


@pytest.fixture
def staff() -> User:
    return make_staff(group="Operators")


def refuse(body: bytes, **values: Any) -> RefusedReport:
    told = {"status": 400, "code": "invalid", "detail": "Wrong.", **values}
    keep([Refusal(body=body, **told)], door="sip", sender="user 1", sender_name="PBX", at=at(0))
    return RefusedReport.objects.latest("id")


def save(browser: Client, row: RefusedReport, text: str) -> Any:
    return browser.post(page_of(row), {"body_to_replay": text}, follow=True)


def press(browser: Client, row: RefusedReport, button: str) -> Any:
    answer = browser.post(page_of(row, part=button), follow=True)
    row.refresh_from_db()
    return answer


def test_the_list_tells_what_was_refused_and_why(refused: RefusedReport, staff: User) -> None:
    [row] = rows_of(visit(staff).get(REFUSED))
    assert row[0] == "open"
    assert row[2:3] + row[4:] == ["process events", "400 invalid", "e1", "1"]


def test_the_list_is_narrowed_by_state_answer_and_ids(refused: RefusedReport, staff: User) -> None:
    refuse(b"x", status=409, code="conflict", call_id="c9")
    browser = visit(staff)
    press(browser, RefusedReport.objects.get(status=409), "dismiss_it")
    counts = {
        "state=open": 1,
        "state=dismissed": 1,
        "state=replayed": 0,
        "answer=409": 1,
        "q=e1": 1,
        "q=c9": 1,
        "q=c": 0,
    }
    for query, count in counts.items():
        assert len(rows_of(browser.get(f"{REFUSED}?{query}"))) == count, query


def test_a_report_is_mended_and_replayed(refused: RefusedReport, staff: User) -> None:
    browser = visit(staff)
    page = text_of(browser.get(page_of(refused)).content.decode())
    assert "event: Must be one of INITIATE, ANSWER, DISCONNECT." in page
    failed = press(browser, refused, "replay_it")
    assert messages_of(failed) == [
        "Refused again: 400 Invalid: event. event: Must be one of INITIATE, ANSWER, DISCONNECT."
    ]
    assert refused.state == "open"
    save(browser, refused, bytes(refused.body).decode().replace("HANGUP", "ANSWER"))
    assert text_of(browser.get(page_of(refused, part="replay_it")).content.decode()).count("Replay")
    assert not CallEvent.objects.exists()
    assert messages_of(press(browser, refused, "replay_it")) == ["Accepted: 200 created"]
    assert (refused.state, refused.handled_by) == ("replayed", staff)
    assert CallEvent.objects.get().event_id == "e1"
    page = text_of(browser.get(page_of(refused)).content.decode())
    assert f"Handled by {staff.username}" in page
    assert '"result": "created"' in page
    assert "HANGUP" in page
    assert "What is replayed" not in page


def test_a_report_is_dismissed_and_then_nothing_more_is_done_to_it(refused: RefusedReport, staff: User) -> None:
    browser = visit(staff)
    assert messages_of(press(browser, refused, "dismiss_it")) == ["The report was dismissed."]
    assert refused.state == "dismissed"
    press(browser, refused, "replay_it")
    press(browser, refused, "dismiss_it")
    assert save(browser, refused, "{}").status_code == 403
    assert (refused.state, refused.mended_body, CallEvent.objects.count()) == ("dismissed", None, 0)


def test_saving_without_a_change_keeps_what_was_sent_byte_for_byte(staff: User) -> None:
    row = refuse(b'{"a": 1,\r\n "b": 2}\n')
    save(visit(staff), row, '{"a": 1,\r\n "b": 2}\n')
    row.refresh_from_db()
    assert row.mended_body is None


def test_bodies_are_text_and_nothing_else(staff: User) -> None:
    row = refuse(
        b"</textarea></pre><script>alert(1)</script>\xff", detail="<b>no</b>", errors={"<i>x</i>": ["<u>y</u>"]}
    )
    page = visit(staff).get(page_of(row)).content.decode()
    for evil in ("<script>alert(1)", "<b>no", "<i>x", "<u>y"):
        assert evil not in page


def test_who_may_only_look_changes_nothing(refused: RefusedReport) -> None:
    browser = visit(make_staff(group="Analysts"))
    page = browser.get(page_of(refused))
    assert page.status_code == 200
    assert "replay_it" not in page.content.decode()
    assert save(browser, refused, "{}").status_code == 403
    for button in ("replay_it", "dismiss_it"):
        assert press(browser, refused, button).status_code == 403
    assert refused.state == "open"
    assert visit(make_staff("view_call")).get(REFUSED).status_code == 403


def test_the_list_says_whose_reports_there_was_no_room_for(staff: User, settings: Any) -> None:
    settings.QUARANTINE_ROWS = 1
    refuse(b"1")
    refuse(b"2")
    assert messages_of(visit(staff).get(REFUSED)) == [
        "1 reports of user 1 were not kept: its room was full (last 2024-04-01 12:00 UTC)."
    ]


def test_nothing_is_added_or_deleted_by_hand(refused: RefusedReport) -> None:
    browser = visit()
    assert browser.get(f"{REFUSED}add/").status_code == 403
    assert browser.post(page_of(refused, part="delete")).status_code == 403


def test_a_secret_that_is_typed_in_is_masked_too(staff: User) -> None:
    row = refuse(json.dumps(sip_report("call_x")).encode())
    save(visit(staff), row, '{"password": "c4n4ry"}')
    row.refresh_from_db()
    assert b"c4n4ry" not in bytes(row.mended_body or b"")


def test_the_senders_of_the_list_are_those_who_sent(staff: User) -> None:
    sign_in("Telephony systems", name="pbx-7").post("/process-events/", "[{}]", content_type="application/json")
    assert "pbx-7" in rows_of(visit(staff).get(REFUSED))[0]
