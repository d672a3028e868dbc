"""The page of one number."""

from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls.admin import numbers
from calls.admin.addresses import number_url
from calls.models import Call
from calls.operations.record import record
from calls.queries.missed import LOOK_THROUGH
from tests.admin.pages import link_to, make_staff, text_of, visit
from tests.admin.rows import make_client
from tests.build import NOON, build_event

pytestmark = pytest.mark.django_db
ADA, OURS = "+493023125042", "+12025550100"


def make(count: int = 1, *, name: str = "c", **values: Any) -> None:
    """Record missed inbound calls from ADA of the last minutes."""
    now = (timezone.now() - NOON).total_seconds()
    parties = {"calling_number": ADA, "called_number": OURS, "direction": "inbound", **values}
    events = []
    for place in range(count):
        events.append(build_event("initiated", now - 600 + place, call_id=f"{name}{place}", **parties))
        events.append(build_event("ended", now - 590 + place, call_id=f"{name}{place}", **parties))
    record(events)


def page(address: str, **options: Any) -> Any:
    response = visit(options.pop("user", None)).get(number_url(address, **options))
    assert response.status_code == 200
    return response


def test_the_page_shows_what_is_known_of_a_number():
    make_client(ADA, name="Ada & Söhne")
    make(3)
    text = text_of(page(ADA).content.decode())
    for part in (
        "Client Ada & Söhne",
        "Country Germany (DE)",
        "Type fixed line",
        "Calls made 3 0 3 0.0 % -",
        "Calls received 0 0 0 - -",
        "+1 202-555-0100 US 3 0",
        "Missed calls to return",
        "since",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    "address",
    [
        *("100", "anonymous", "sip:alice@example.com", "*21#", "a/b", "..", ".", "a b", "ü?&=#", "<script>x</script>"),
        *("a/", "/a", "//a", "numbers", "%2B1", "\\", "'\";--", "x" * 255),
    ],
)
def test_every_address_has_a_page(address: str):
    make(calling_number=address)
    response = page(address)
    html = response.content.decode()
    assert len(response.context["calls"]) == 1, response.request
    assert "<script>x" not in html


@pytest.mark.parametrize("spelling", ["493023125042", "tel:+49 30 23125042", "%2B493023125042", "+49 (30) 231-25042"])
def test_other_spellings_lead_to_the_number(spelling: str):
    make()
    response = visit().get(f"/admin/numbers/{spelling if '%' in spelling else quote(spelling)}/", follow=True)
    assert response.status_code == 200
    assert response.context["address"] == ADA
    assert len(response.context["calls"]) == 1


def test_an_extension_is_not_taken_for_a_number_without_its_plus():
    make(calling_number="1234")
    make(name="other", calling_number="+1234")
    assert page("1234").context["address"] == "1234"


@pytest.mark.parametrize("address", ["", "%00", "x" * 256])
def test_what_is_no_number_has_no_page(address: str):
    assert visit().get(f"/admin/numbers/?number={address}").status_code == 404


def test_a_number_that_was_never_seen_has_an_empty_page():
    text = text_of(page("+4930999999").content.decode())
    assert "No call of this number is known." in text


def test_the_history_goes_forth_and_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(numbers, "CALLS_A_PAGE", 5)
    make(12)
    record([build_event(call_id="self", calling_number=ADA, called_number=ADA)])
    wanted = [str(pk) for pk in Call.objects.values_list("pk", flat=True)]
    browser, address, forth, pages = visit(), number_url(ADA, tz="Asia/Tokyo"), [], []
    while address:
        response = browser.get(address)
        pages.append([row["url"].split("/")[4] for row in response.context["calls"]])
        forth += pages[-1]
        last, address = address, link_to(response, "next").partition("#")[0]
    assert forth == wanted
    assert response.context["zone"] == "Asia/Tokyo"
    for expected in pages[-2::-1]:
        last = link_to(browser.get(last), "prev").partition("#")[0]
        assert [row["url"].split("/")[4] for row in browser.get(last).context["calls"]] == expected
    assert link_to(browser.get(last), "prev") == ""
    assert "is not known; this is the first one" in browser.get(number_url(ADA, older="x")).content.decode()


def test_the_hours_are_those_of_the_time_zone():
    make(1)
    start = Call.objects.get().started_at
    for name in ("UTC", "Asia/Kathmandu"):
        response = page(ADA, tz=name)
        shown = [
            (day, hour)
            for day, row in enumerate(response.context["heat"])
            for hour, cell in enumerate(row["cells"])
            if cell["calls"]
        ]
        local = start.astimezone(numbers.zone_of(response.wsgi_request))
        assert shown == [(local.weekday(), local.hour)]
        assert f"Calls by weekday and hour, {name}" in response.content.decode()


def test_an_unknown_time_zone_is_told():
    response = page(ADA, tz="Mars/Olympus<script>")
    assert "There is no such time zone" in response.content.decode()
    assert response.context["zone"] == "UTC"


def test_the_page_takes_as_many_statements_for_many_calls_as_for_few():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(number_url(ADA))
        for query in queries.captured_queries:
            assert "OFFSET" not in query["sql"].upper().replace(f"OFFSET {LOOK_THROUGH - 1}", "")
        return len(queries)

    browser = visit()
    make(2)
    few = statements()
    make(60, name="more")
    assert statements() == few <= 18


@pytest.mark.parametrize("rights", [(), ("view_client", "view_callevent")])
def test_those_without_the_right_to_see_calls_see_no_number(rights: tuple[str, ...]):
    make()
    assert visit(make_staff(*rights)).get(number_url(ADA)).status_code == 403


def test_whose_number_it_is_is_told_only_to_those_who_may_see_clients():
    make_client(ADA, name="Ada & Söhne")
    make()
    assert "Söhne" not in page(ADA, user=make_staff("view_call")).content.decode()
    assert "Söhne" in page(ADA, user=make_staff(group="Analysts")).content.decode()


def test_strangers_are_asked_to_sign_in_and_nothing_is_kept(client: Any):
    assert client.get(number_url(ADA))["Location"].startswith("/admin/login/")
    assert "no-store" in page(ADA)["Cache-Control"]
