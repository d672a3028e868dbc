"""Words from outside are words everywhere: each page of the admin is looked at while all of them are hostile."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from calls.models import Client as OurClient
from calls.models import RefusedReport
from calls.operations.access_log import AccessLogEntry
from tests.admin.pages import make_staff, visit
from tests.build import report, send, sign_in, sip_report
from tests.house.test_canaries import SHOWN_AT_LEAST, Everything, sweep_admin

pytestmark = pytest.mark.django_db

HOSTILE = "<img src=x onerror=alert(1)>'\"{{7*7}}</script><script>alert(2)</script>"
LIVE = (b"<img src=x", b"<script>alert(2)", b"{{7*7}}</script>", b"49</script>")


def plant(operator: Client, telephony: Client, browser: Client) -> None:
    hostile = {HOSTILE: HOSTILE, "cause": HOSTILE, "transfer_to": HOSTILE}
    who = {"caller_number": HOSTILE, "recipient_number": HOSTILE + "2"}
    for kind, second in (("call_initiated", 0), ("call_answered", 1), ("call_transferred", 9)):
        body = sip_report(kind, second, sip_call_id=HOSTILE, event_id=f"{HOSTILE}{second}", metadata=hostile, **who)
        assert send(telephony, "POST", "webhooks/sip/", body).status_code == 200
    # One that goes on, for the front page and the search; one that is refused.
    assert send(telephony, "POST", "webhooks/sip/", sip_report("call_answered", 5, **who)).status_code == 200
    assert telephony.post("/process-events/", report(event=HOSTILE), "application/json").status_code == 400
    recording = {"call_id": HOSTILE, "status": "completed", "transcript": HOSTILE, "file_path": HOSTILE,
                 "format": HOSTILE[:20], "file_url": "https://example.org/?" + HOSTILE.replace(" ", "+")}  # fmt: skip
    assert send(telephony, "POST", "webhooks/recording/", recording).status_code == 200
    made = send(
        operator, "POST", "clients/", {"name": HOSTILE, "company": HOSTILE, "notes": HOSTILE, "phone_numbers": []}
    )
    assert made.status_code == 201
    sip = {"name": HOSTILE, "sip_server": "192.0.2.1", "caller_number": HOSTILE, "username": HOSTILE,
           "display_name": HOSTILE, "realm": HOSTILE}  # fmt: skip
    assert send(operator, "POST", "sip-configurations/", sip).status_code == 201
    notes = send(operator, "PATCH", "call-logs/call-1/update_status/", {"notes": HOSTILE})
    assert notes.status_code == 200
    browser.post("/admin/calls/webhooksource/add/", {"name": HOSTILE})
    owner = User.objects.create_user("a" + HOSTILE[:100], first_name=HOSTILE, last_name=HOSTILE)
    browser.post("/admin/calls/accesstoken/add/", {"user": owner.pk, "name": HOSTILE, "expiry_0": "", "expiry_1": ""})
    Client(headers={"User-Agent": HOSTILE, "Accept": HOSTILE}).post(
        "/admin/login/", {"username": HOSTILE, "password": "x"}
    )
    AccessLogEntry.objects.create(user_name=HOSTILE, what="history", number_hmac="0" * 64, at="2024-04-01T12:00:00Z")


def test_no_word_from_outside_becomes_markup_on_any_page() -> None:
    browser = visit(make_staff(superuser=True))
    plant(sign_in("Operators"), sign_in("Telephony systems"), browser)
    assert RefusedReport.objects.count() == OurClient.objects.count() == 1
    everything = Everything()
    assert sweep_admin(everything, browser, "superuser") > SHOWN_AT_LEAST
    for query in ("?q=" + HOSTILE, "?status=" + HOSTILE, "?direction=" + HOSTILE, "?" + HOSTILE):
        for page in ("call", "callevent", "client", "callrecording", "refusedreport"):
            everything.answer(f"{page}{query}", browser.get(f"/admin/calls/{page}/{query}"))
    html = [(place, text) for place, text in everything.places if b"text/html" in text[:500]]
    assert [place for place, text in html if any(live in text for live in LIVE)] == []
    assert sum(b"&lt;img src=x" in text for _, text in html) > 20
