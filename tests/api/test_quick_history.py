"""The short cut for histories gives the answers of the view, byte for byte, to whatever comes."""

from typing import Any

import pytest
from django.conf import settings as configured
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.test.utils import override_settings

from calls.api import quick_history
from calls.models import AccessLogEntry, AccessToken
from calls.operations import access_log
from calls.operations.access_log import flush
from tests.api.test_history import ME, OTHER, call, follow, links
from tests.build import sign_in

pytestmark = pytest.mark.django_db
SHORT = "calls.api.quick_history.QuickHistory"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what the short cut answers, as it does."""
    found: list[Any] = []
    real = quick_history.QuickHistory._answer

    def listening(self: Any, *args: Any) -> Any:
        found.append(real(self, *args))
        return found[-1]

    monkeypatch.setattr(quick_history.QuickHistory, "_answer", listening)
    return found


@pytest.fixture
def reader() -> Client:
    """Return an analyst with a token that is remembered by now."""
    for number in range(5):
        call(f"made-{number}", f"2024-04-0{number + 1}T12:00:00.5", answered=number % 2 == 0)
        call(f"received-{number}", f"2024-04-0{number + 1}T13:00:00", by=OTHER, to=ME)
    call("going-on", "2024-04-09T12:00:00", length=None)
    client = sign_in("Analysts")
    assert client.get("/call-history/1234567890/").status_code == 200
    return client


def both(client: Client, path: str, **headers: Any) -> tuple[Any, Any]:
    """Return how the whole installation answers, and how it does without the short cut."""
    quick = Client(**client.defaults).get(path, **headers)
    with override_settings(MIDDLEWARE=[name for name in configured.MIDDLEWARE if name != SHORT]):
        plain = Client(**client.defaults).get(path, **headers)
    return quick, plain


def said(answer: Any) -> Any:
    return answer.status_code, dict(answer.headers), b"".join(answer) if answer.streaming else answer.content


@pytest.mark.parametrize(
    ("query", "short"),
    [
        ("", True),
        ("limit=3", True),
        ("limit=3&ordering=-call_time", True),
        ("include=ongoing&from=2024-04-02&to=2024-04-09T12:00:00Z", True),
        ("status=Missed+Outbound", True),
        ("limit=2&limit=3", True),
        ("unknown=1", True),
        ("status=Ongoing+Inbound", False),  # nothing was found: is the number known?
        ("format=csv", False),
        ("limit=0", False),
        ("cursor=abc", False),
        ("from=yesterday", False),
    ],
)
def test_both_ways_answer_the_same(reader: Client, answers: list[Any], query: str, short: bool) -> None:
    quick, plain = both(reader, f"/call-history/%2B1234567890/?{query}")
    assert said(quick) == said(plain)
    assert [answer is not None for answer in answers] == [short]


@pytest.mark.parametrize(
    "path", ["/call-history/1234567890", "/call-history/+1234567890", "/call-history/+12025550199/", "/call-history/x/"]
)
def test_both_ways_answer_the_same_whatever_the_path(reader: Client, path: str) -> None:
    quick, plain = both(reader, path)
    assert said(quick) == said(plain)


def test_pages_lead_on_in_both_ways(reader: Client, answers: list[Any]) -> None:
    address, pages = "/call-history/1234567890/?limit=3", 0
    while address:
        quick, plain = both(reader, address)
        assert said(quick) == said(plain)
        if "prev" in links(quick):
            assert follow(reader, links(quick)["prev"]).status_code == 200
        address, pages = links(quick).get("next", ""), pages + 1
    assert pages == 4
    assert all(answers)


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_AUTHORIZATION": ""},
        {"HTTP_AUTHORIZATION": "Token abc"},
        {"HTTP_AUTHORIZATION": "token"},
        {"HTTP_AUTHORIZATION": "Basic YTpi"},
        {"HTTP_AUTHORIZATION": "Token é"},
        {"HTTP_HOST": "elsewhere.example"},
    ],
)
def test_who_may_not_come_in_is_told_so_by_the_view(reader: Client, answers: list[Any], headers: Any) -> None:
    quick, plain = both(reader, "/call-history/1234567890/", **headers)
    assert quick.status_code in (400, 401)
    assert said(quick) == said(plain)
    assert not any(answers)


def test_a_right_that_was_never_asked_for_or_is_missing_is_a_matter_for_the_view(answers: list[Any]) -> None:
    client = sign_in("Telephony systems")
    assert [client.get("/call-history/1234567890/").status_code for _ in range(2)] == [403, 403]
    assert answers == [None, None]


def test_a_revoked_token_is_refused_at_once(reader: Client) -> None:
    AccessToken.objects.all().delete()
    assert reader.get("/call-history/1234567890/").status_code == 401


def test_what_is_throttled_is_counted_by_the_view(reader: Client, answers: list[Any], settings: Any) -> None:
    settings.THROTTLE_READS = "60/minute"
    assert reader.get("/call-history/1234567890/").status_code == 200
    assert answers == [None]


def test_each_answer_of_the_short_cut_is_one_look(
    reader: Client, answers: list[Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ACCESS_LOG = True
    monkeypatch.setattr(access_log, "_start", lambda: None)
    for path in ("/call-history/1234567890/", "/call-history/1234567890/?status=Ongoing+Inbound"):
        assert reader.get(path).status_code == 200
    assert reader.get("/call-history/12025550199/").status_code == 404
    flush()
    assert [entry.what for entry in AccessLogEntry.objects.all()] == ["history"] * 3
    assert [answer is not None for answer in answers] == [True, False, False]


def test_a_database_that_is_away_is_told_by_the_view(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr("calls.queries.history.read", away)
    answer = reader.get("/call-history/1234567890/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_other_methods_and_addresses_go_on(reader: Client, answers: list[Any]) -> None:
    request = RequestFactory().post("/call-history/1234567890/")
    assert quick_history.QuickHistory(lambda request: request)(request) is request  # type: ignore[arg-type, return-value]
    assert not answers
