"""`/api/sip-configurations/`: what is kept, that the password never comes out, and exactly one default."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from calls.models import SIPConfiguration
from tests.build import send, sign_in

pytestmark = pytest.mark.django_db
KEYS = {
    "id", "name", "sip_server", "sip_port", "transport", "username", "has_password", "realm", "display_name",
    "caller_number", "wss_uri", "stun_server", "turn_server", "is_active", "is_default", "created_at", "updated_at",
}  # fmt: skip
BODY = {"name": "Main", "sip_server": "sip.example.com", "caller_number": "+12025550100"}


def add(client: Client, name: str = "Main", **values: Any) -> Any:
    answer = send(client, "POST", "sip-configurations/", BODY | {"name": name} | values)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def defaults() -> list[str]:
    return list(SIPConfiguration.objects.filter(is_default=True).values_list("name", flat=True))


def test_a_configuration_is_added_read_changed_replaced_and_deleted(operator: Client) -> None:
    made = add(operator, sip_port=5061, transport="tls", username="u", realm="r", wss_uri="wss://sip.example.com:7443")
    assert set(made) == KEYS
    assert (made["sip_port"], made["transport"], made["is_active"], made["is_default"]) == (5061, "tls", True, True)
    path = f"sip-configurations/{made['id']}/"
    assert send(operator, "GET", path).json() == made
    assert operator.get("/api/sip-configurations/").json()["results"] == [made]
    changed = send(operator, "PATCH", path, {"display_name": "Front desk"}).json()
    assert (changed["display_name"], changed["transport"], changed["is_default"]) == ("Front desk", "tls", True)
    replaced = send(operator, "PUT", path, BODY | {"name": "Other"})
    assert (replaced.status_code, replaced.json()["name"]) == (200, "Other")
    assert send(operator, "DELETE", path).status_code == 204
    assert send(operator, "GET", path).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "Taken"}, "name"),
        ({"sip_server": None}, "sip_server"),
        ({"sip_server": ""}, "sip_server"),
        ({"sip_port": 0}, "sip_port"),
        ({"sip_port": 65536}, "sip_port"),
        ({"sip_port": "sip"}, "sip_port"),
        ({"transport": "carrier pigeon"}, "transport"),
        ({"caller_number": ""}, "caller_number"),
        ({"caller_number": "x" * 256}, "caller_number"),
        ({"password": "x" * 257}, "password"),
        ({"password": None}, "password"),
        ({"is_active": "perhaps"}, "is_active"),
        ({"realm": "a\x00b"}, "realm"),
    ],
)
def test_a_bad_field_is_refused_by_name(operator: Client, change: dict[str, Any], field: str) -> None:
    add(operator, "Taken")
    answer = send(operator, "POST", "sip-configurations/", BODY | change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize(
    "field", ["name", "sip_server", "username", "password", "realm", "display_name", "caller_number", "wss_uri",
              "stun_server", "turn_server"]
)  # fmt: skip
def test_line_breaks_are_refused_everywhere(operator: Client, field: str) -> None:
    made = add(operator)
    for value in ("a\r\nVia: evil", "a\nb", "a\rb", "a\tb", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029b"):
        for method, path in (("POST", "sip-configurations/"), ("PATCH", f"sip-configurations/{made['id']}/")):
            answer = send(operator, method, path, BODY | {"name": "New", field: value})
            assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


# -- The password ------------------------------------------------------------------------------------


def test_the_password_goes_in_and_never_comes_out(operator: Client) -> None:
    secret = " s3cret pässword "
    made = add(operator, password=secret)
    assert made["has_password"] is True
    path = f"sip-configurations/{made['id']}/"
    for answer in (
        send(operator, "GET", path),
        operator.get("/api/sip-configurations/"),
        send(operator, "PATCH", path, {"realm": "x"}),
        send(operator, "POST", f"{path}set_default/"),
    ):
        assert "s3cret" not in answer.content.decode()
        assert '"password"' not in answer.content.decode()
    stored = SIPConfiguration.objects.get()
    assert stored.password == secret
    assert "s3cret" not in repr(SIPConfiguration.objects.values().get())


def test_a_password_that_is_not_given_stays_and_an_empty_one_removes_it(operator: Client) -> None:
    path = f"sip-configurations/{add(operator, password='one')['id']}/"
    send(operator, "PATCH", path, {"realm": "x"})
    send(operator, "PUT", path, BODY)
    assert SIPConfiguration.objects.get().password == "one"
    send(operator, "PATCH", path, {"password": "two"})
    assert SIPConfiguration.objects.get().password == "two"
    assert send(operator, "PATCH", path, {"password": ""}).json()["has_password"] is False


# -- The default -------------------------------------------------------------------------------------


def test_the_first_active_one_is_the_default(operator: Client) -> None:
    assert add(operator, "Off", is_active=False)["is_default"] is False
    assert add(operator, "First")["is_default"] is True
    assert add(operator, "Second", is_default=True)["is_default"] is False
    assert defaults() == ["First"]


def test_one_that_becomes_active_is_the_default_where_there_is_none(operator: Client) -> None:
    made = add(operator, "Off", is_active=False)
    assert (
        send(operator, "PATCH", f"sip-configurations/{made['id']}/", {"is_active": True}).json()["is_default"] is True
    )


def test_set_default_makes_it_the_only_one(operator: Client) -> None:
    add(operator, "First")
    second = add(operator, "Second")
    for _ in range(2):
        answer = send(operator, "POST", f"sip-configurations/{second['id']}/set_default/")
        assert (answer.status_code, set(answer.json()), answer.json()["is_default"]) == (200, KEYS, True)
        assert defaults() == ["Second"]


def test_what_is_not_active_is_no_default_and_the_default_stays_active(operator: Client) -> None:
    first, off = add(operator, "First"), add(operator, "Off", is_active=False)
    answer = send(operator, "POST", f"sip-configurations/{off['id']}/set_default/")
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")
    answer = send(operator, "PATCH", f"sip-configurations/{first['id']}/", {"is_active": False})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["is_active"])
    answer = send(operator, "PATCH", f"sip-configurations/{first['id']}/", {"is_default": False})
    assert (answer.status_code, answer.json()["is_default"]) == (200, True)
    assert defaults() == ["First"]


def test_the_default_is_deleted_last(operator: Client) -> None:
    first, second = add(operator, "First"), add(operator, "Second")
    answer = send(operator, "DELETE", f"sip-configurations/{first['id']}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")
    assert send(operator, "DELETE", f"sip-configurations/{second['id']}/").status_code == 204
    assert send(operator, "DELETE", f"sip-configurations/{first['id']}/").status_code == 204


def test_a_calls_configuration_may_be_deleted(operator: Client) -> None:
    made = add(operator)
    call = send(operator, "POST", "call-logs/initiate_call/", {"recipient_number": "+1234567890"}).json()
    assert send(operator, "DELETE", f"sip-configurations/{made['id']}/").status_code == 204
    assert send(operator, "GET", f"call-logs/{call['id']}/").json()["sip_configuration"] is None


def at_once(*paths: tuple[str, str, Any]) -> list[int]:
    """Send requests at once from threads with connections of their own, and return the status of each answer."""
    operator = sign_in("Operators")
    gate, statuses = threading.Barrier(len(paths)), [0] * len(paths)

    def run(place: int, method: str, path: str, body: Any) -> None:
        try:
            gate.wait()
            statuses[place] = send(operator, method, path, body).status_code
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place, *request)) for place, request in enumerate(paths)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("groups")
def test_of_several_that_choose_a_default_at_once_one_stays() -> None:
    ids = [add(sign_in("Operators"), str(number))["id"] for number in range(4)]
    for _ in range(3):
        requests = [("POST", f"sip-configurations/{id}/set_default/", None) for id in ids]
        requests += [("PATCH", f"sip-configurations/{id}/", {"realm": "x"}) for id in ids]
        assert set(at_once(*requests)) == {200}
        assert len(defaults()) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("groups")
def test_of_several_first_ones_at_once_one_is_the_default() -> None:
    requests = [("POST", "sip-configurations/", BODY | {"name": str(number)}) for number in range(4)]
    assert set(at_once(*requests)) == {201}
    assert len(defaults()) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("groups")
def test_of_several_of_one_name_at_once_one_is_made_and_the_others_are_told() -> None:
    for number in range(3):
        statuses = at_once(*[("POST", "sip-configurations/", BODY | {"name": f"same {number}"})] * 4)
        assert sorted(statuses) == [201, 400, 400, 400]
