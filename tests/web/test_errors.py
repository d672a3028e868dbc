"""Every error of the API is JSON and says nothing of the inside."""

import logging
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError
from django.test import Client

from calls.ingest import views
from tests.build import report

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[False, True], ids=["in production", "while debugging"], autouse=True)
def _debugging(request: Any, settings: Any) -> None:
    settings.DEBUG = request.param


@pytest.mark.parametrize("path", ["/api/nothing/", "/api/nothing", "/process-events/x", "/call-history/", "/api/"])
def test_unknown_addresses_under_the_api_are_json_404s(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "There is nothing at this address.", "code": "not_found"}


def test_a_page_that_does_not_exist_elsewhere_is_for_people(client: Client) -> None:
    answer = client.get("/nothing/")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_an_address_with_a_plus_and_no_slash_is_no_redirect(client: Client) -> None:
    assert client.post("/process-events").status_code == 401


def fail_with(monkeypatch: Any, error: Exception) -> None:
    def fail(*args: Any, **values: Any) -> None:
        raise error

    monkeypatch.setattr(views, "receive", fail)


def test_what_nobody_foresaw_is_a_json_500_that_tells_nothing(telephony: Client, monkeypatch: Any) -> None:
    fail_with(monkeypatch, RuntimeError("SELECT secret FROM calls_call"))
    answer = telephony.post("/process-events/", report(), content_type="application/json")
    assert answer.status_code == 500
    assert answer.json()["code"] == "error"
    assert b"secret" not in answer.content
    assert b"Traceback" not in answer.content


def test_a_database_that_does_not_answer_is_a_503_to_be_tried_again(
    telephony: Client, monkeypatch: Any, caplog: Any
) -> None:
    fail_with(monkeypatch, OperationalError("connection to 10.0.0.1 refused"))
    with caplog.at_level(logging.ERROR):
        answer = telephony.post("/process-events/", report(), content_type="application/json")
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "unavailable", "5")
    assert b"10.0.0.1" not in answer.content
    assert "The database did not answer" in caplog.text


def test_an_unknown_address_takes_any_method(client: Client) -> None:
    for method in ("post", "put", "delete", "options"):
        assert getattr(client, method)("/api/nothing").json()["code"] == "not_found"


def test_plain_http_is_a_json_403_and_no_redirect_where_https_is_wanted(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = client.post("/process-events/", report(), content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "https_required")
    assert client.post("/process-events/", secure=True).status_code == 401


def test_a_host_that_is_not_ours_is_a_json_400() -> None:
    answer = Client(headers={"host": "evil.example"}).get("/api/nothing/")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")


VIEWS = [
    "view_call",
    "view_callevent",
    "view_callrecording",
    "view_client",
    "view_refusedreport",
    "view_sipconfiguration",
]
CHANGES = [
    f"{action}_{model}"
    for model in ("callrecording", "client", "sipconfiguration")
    for action in ("add", "change", "delete")
]


def test_the_three_groups_have_their_rights() -> None:
    rights = {group.name: sorted(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()}
    assert rights == {
        "Telephony systems": ["add_callevent", "add_callrecording"],
        "Analysts": sorted(["annotate_call", *VIEWS]),
        "Operators": sorted(["annotate_call", "operate_call", "change_refusedreport", *VIEWS, *CHANGES]),
    }


def test_livez_is_open_and_says_little(client: Client) -> None:
    answer = client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
