"""`/api/clients/`: numbers belong to one client, and whoever has a number has its calls."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from calls.models import Call, ClientNumber
from calls.models import Client as OurClient
from calls.operations.record import record
from tests.build import CALLER, build_event, read_table, send, sip_report, told

pytestmark = pytest.mark.django_db
KEYS = {"id", "name", "email", "company", "notes", "phone_numbers", "created_at", "updated_at"}
ADA, BOB = "+12025550101", "+12025550102"


def add(client: Client, *numbers: str, name: str = "Ada", **values: Any) -> Any:
    answer = send(client, "POST", "clients/", {"name": name, "phone_numbers": list(numbers)} | values)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def owners() -> dict[str, str | None]:
    return dict(Call.objects.values_list("external_id", "client__name"))


def test_a_client_is_added_read_changed_replaced_and_deleted(operator: Client) -> None:
    made = add(operator, BOB, ADA, BOB, email="ada@example.com", company="Engines", notes="first")
    assert set(made) == KEYS
    assert made["phone_numbers"] == [ADA, BOB]
    path = f"clients/{made['id']}/"
    assert send(operator, "GET", path).json() == made
    changed = send(operator, "PATCH", path, {"name": "Ada L."}).json()
    assert (changed["name"], changed["email"], changed["phone_numbers"]) == ("Ada L.", "ada@example.com", [ADA, BOB])
    assert send(operator, "PATCH", path, {"phone_numbers": [BOB]}).json()["phone_numbers"] == [BOB]
    replaced = send(operator, "PUT", path, {"name": "Eve", "phone_numbers": []})
    assert (replaced.status_code, replaced.json()["phone_numbers"]) == (200, [])
    assert send(operator, "DELETE", path).status_code == 204
    assert send(operator, "GET", path).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"email": "nobody"}, "email"),
        ({"company": "x" * 201}, "company"),
        ({"notes": "\x00"}, "notes"),
        ({"phone_numbers": ADA}, "phone_numbers"),
        ({"phone_numbers": None}, "phone_numbers"),
        ({"phone_numbers": [5]}, "phone_numbers"),
        ({"phone_numbers": ["0987654321"]}, "phone_numbers"),
        ({"phone_numbers": ["+0987654321"]}, "phone_numbers"),
        ({"phone_numbers": ["anonymous"]}, "phone_numbers"),
        ({"phone_numbers": ["+1234567890123456"]}, "phone_numbers"),
        ({"phone_numbers": [f"+1202555{number:04}" for number in range(101)]}, "phone_numbers"),
    ],
)
def test_a_bad_field_is_refused_by_name(operator: Client, change: dict[str, Any], field: str) -> None:
    answer = send(operator, "POST", "clients/", {"name": "Ada", "phone_numbers": [ADA]} | change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not OurClient.objects.exists()


def test_a_badly_written_number_gets_a_suggestion(operator: Client) -> None:
    answer = send(operator, "POST", "clients/", {"name": "Ada", "phone_numbers": [ADA, "+1 (202) 555-0102"]})
    assert f"Did you mean {BOB}?" in answer.json()["errors"]["phone_numbers"][0]


def test_a_number_belongs_to_one_client(operator: Client) -> None:
    ada, bob = add(operator, ADA), add(operator, BOB, name="Bob")
    for method, path, body in [
        ("POST", "clients/", {"name": "Eve", "phone_numbers": [ADA, "+12025550103"]}),
        ("PATCH", f"clients/{bob['id']}/", {"name": "lost", "phone_numbers": [BOB, ADA]}),
        ("PUT", f"clients/{bob['id']}/", {"name": "lost", "phone_numbers": [ADA]}),
    ]:
        answer = send(operator, method, path, body)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["phone_numbers"])
        assert ADA in answer.json()["errors"]["phone_numbers"][0]
    assert sorted(OurClient.objects.values_list("name", flat=True)) == ["Ada", "Bob"]
    assert dict(ClientNumber.objects.values_list("number", "client_id")) == {ADA: ada["id"], BOB: bob["id"]}


# -- Calls -------------------------------------------------------------------------------------------


def test_earlier_and_later_calls_are_matched_by_the_exact_number(operator: Client, telephony: Client) -> None:
    def calls(prefix: str) -> None:
        for name, number in (("exact", ADA), ("tail", "+442025550101"), ("longer", ADA + "1"), ("bare", ADA[1:])):
            told(telephony, sip_report(sip_call_id=f"{prefix}-{name}", caller_number=number))

    calls("earlier")
    add(operator, ADA)
    calls("later")
    assert {name for name, owner in owners().items() if owner} == {"earlier-exact", "later-exact"}
    shown = send(operator, "GET", "call-logs/later-exact/").json()
    assert shown["client_name"] == "Ada"


def test_a_call_belongs_to_the_other_party(operator: Client) -> None:
    add(operator, ADA)
    add(operator, BOB, name="Bob")
    for way in ("inbound", "outbound"):
        record(read_table(f"0:00 initiated way={way}", call_id=way, calling_number=ADA, called_number=BOB))
    record([build_event(call_id="unknown", calling_number="100", called_number=BOB)])
    assert owners() == {"inbound": "Ada", "outbound": "Bob", "unknown": "Bob"}


def test_a_spelled_out_number_is_matched_by_its_e164_form(operator: Client, telephony: Client) -> None:
    told(telephony, sip_report(sip_call_id="a", caller_number="+1 (202) 555-0101"))
    add(operator, ADA)
    told(telephony, sip_report(sip_call_id="b", caller_number="sip:+12025550101@example.com"))
    assert owners() == {"a": "Ada", "b": "Ada"}


def test_a_number_that_moves_takes_its_calls_along(operator: Client) -> None:
    ada, bob = add(operator, ADA), add(operator, BOB, name="Bob")
    record([build_event(call_id="a", calling_number=ADA), build_event(call_id="b", calling_number=BOB)])
    assert owners() == {"a": "Ada", "b": "Bob"}
    send(operator, "PATCH", f"clients/{ada['id']}/", {"phone_numbers": []})
    assert owners() == {"a": None, "b": "Bob"}
    send(operator, "PATCH", f"clients/{bob['id']}/", {"phone_numbers": [ADA]})
    assert owners() == {"a": "Bob", "b": None}


def test_deleting_a_client_leaves_its_calls(operator: Client) -> None:
    ada = add(operator, ADA)
    add(operator, BOB, name="Bob")
    record([build_event(call_id="both", calling_number=ADA, called_number=BOB)])
    record([build_event(call_id="a", calling_number=ADA)])
    assert owners() == {"both": "Ada", "a": "Ada"}
    assert send(operator, "DELETE", f"clients/{ada['id']}/").status_code == 204
    assert owners() == {"both": "Bob", "a": None}


def test_a_call_whose_client_changes_is_found_by_updated_after(operator: Client) -> None:
    record([build_event(call_id="a", calling_number=ADA)])

    def news_of(change: Callable[[], Any]) -> list[str]:
        since = datetime.now(UTC).isoformat()
        change()
        found = operator.get("/api/call-logs/", {"updated_after": since}).json()["results"]
        return [one["sip_call_id"] for one in found]

    ada: dict[str, Any] = {}
    assert news_of(lambda: None) == []
    assert news_of(lambda: ada.update(add(operator, ADA))) == ["a"]
    assert news_of(lambda: send(operator, "PATCH", f"clients/{ada['id']}/", {"phone_numbers": []})) == ["a"]
    assert news_of(lambda: send(operator, "PATCH", f"clients/{ada['id']}/", {"phone_numbers": [ADA]})) == ["a"]
    assert news_of(lambda: send(operator, "DELETE", f"clients/{ada['id']}/")) == ["a"]


def test_call_history_is_paged_and_the_clients_own(operator: Client) -> None:
    ada = add(operator, ADA)
    add(operator, BOB, name="Bob")
    record([build_event("initiated", number, call_id=str(number), calling_number=ADA) for number in range(5)])
    record([build_event(call_id="other", calling_number=BOB)])
    path = f"/api/clients/{ada['id']}/call_history/"
    page = operator.get(path, {"limit": 2}).json()
    seen = []
    while True:
        seen += [row["sip_call_id"] for row in page["results"]]
        if not page["next"]:
            break
        page = operator.get(page["next"]).json()
    assert seen == ["4", "3", "2", "1", "0"]
    row = operator.get(path).json()["results"][0]
    assert row == {name: send(operator, "GET", "call-logs/4/").json()[name] for name in row}


# -- The list ------------------------------------------------------------------------------------------


def test_the_list_is_paged_and_searched(operator: Client) -> None:
    for name, number in (("Ada Lovelace", ADA), ("Bob", BOB), ("Eve", CALLER)):
        add(operator, number, name=name, company=f"{name} & Sons", email=f"{name[:3].lower()}@example.com")

    def names(**query: Any) -> list[str]:
        return [row["name"] for row in operator.get("/api/clients/", query).json()["results"]]

    assert names() == ["Eve", "Bob", "Ada Lovelace"]
    finds = {
        "love": "Ada Lovelace",
        "bob & sons": "Bob",
        "EVE@": "Eve",
        BOB: "Bob",
        BOB[1:]: "Bob",
        f" {BOB[1:]}": "Bob",
    }
    for text, name in finds.items():
        assert names(search=text) == [name], text
    assert names(search="+1202") == names(search="%") == []
    assert names(search="  ") == names()
    page = operator.get("/api/clients/?limit=2").json()
    assert [row["name"] for row in operator.get(page["next"]).json()["results"]] == ["Ada Lovelace"]
    answer = operator.get("/api/clients/", {"search": "\x00"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["search"])


def test_analysts_look_and_do_not_touch(operator: Client, analyst: Client) -> None:
    made = add(operator, ADA)
    path = f"clients/{made['id']}/"
    assert send(analyst, "GET", path).json() == made
    for method in ("PUT", "PATCH", "DELETE"):
        assert send(analyst, method, path, {"name": "x"}).status_code == 403
    assert send(analyst, "POST", "clients/", {"name": "x"}).status_code == 403
