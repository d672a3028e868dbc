"""The first specification's example, from a telephony system's first POST to an analyst's last GET, over HTTP."""

import json
from itertools import permutations
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.contrib.auth.models import Group, User
from pytest_django.live_server_helper import LiveServer

from calls.models import AccessToken

# The history that the specification shows for +1234567890.
EXPECTED = [
    {
        "call_time": "2024-04-01T12:00:00Z",
        "counterparty_number": "+9876543210",
        "call_status": "Completed Outbound",
        "duration": 120,
    },
    {
        "call_time": "2024-04-02T10:00:00Z",
        "counterparty_number": "+1112223333",
        "call_status": "Missed Inbound",
        "duration": None,
    },
]
FIRST = {"call_id": "first", "calling_number": "+1234567890", "called_number": "+9876543210"}
SECOND = {"call_id": "second", "calling_number": "+1112223333", "called_number": "+1234567890"}
EVENTS = [
    {**FIRST, "event_id": "1", "event": "INITIATE", "created_at": "2024-04-01T12:00:00Z"},
    {**FIRST, "event_id": "2", "event": "ANSWER", "created_at": "2024-04-01T12:00:10Z"},
    {**FIRST, "event_id": "3", "event": "DISCONNECT", "created_at": "2024-04-01T12:02:00Z"},
    {**SECOND, "event_id": "4", "event": "INITIATE", "created_at": "2024-04-02T10:00:00Z"},
    {**SECOND, "event_id": "5", "event": "DISCONNECT", "created_at": "2024-04-02T10:00:25Z"},
]


def key_of(group: str) -> str:
    user = User.objects.create_user(group)
    user.groups.add(Group.objects.get(name=group))
    return str(AccessToken.objects.create(user=user, name="journey")[1])


def speak(url: str, key: str, body: Any = None) -> tuple[int, Any]:
    """Send a request, a POST if there is a body, and return the status and what the JSON says."""
    headers = {"Authorization": f"Token {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, headers), timeout=30) as answer:  # noqa: S310 - our own server
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


pytestmark = pytest.mark.usefixtures("groups")


@pytest.mark.parametrize("order", [range(5), range(4, -1, -1), (2, 4, 0, 3, 1)], ids=str)
def test_the_specifications_two_calls_become_its_history(live_server: LiveServer, order: Any) -> None:
    system, analyst = key_of("Telephony systems"), key_of("Analysts")
    url = f"{live_server.url}/process-events/"
    for place in order:
        status, said = speak(url, system, EVENTS[place])
        assert (status, said["result"]) == (200, "created")
        assert speak(url, system, EVENTS[place])[1]["result"] == "duplicate"
    status, history = speak(f"{live_server.url}/call-history/+1234567890/", analyst)
    assert status == 200
    assert json.dumps(history) == json.dumps(EXPECTED)
    assert speak(f"{live_server.url}/call-history/+9876543210/", analyst)[1] == [
        {**EXPECTED[0], "counterparty_number": "+1234567890", "call_status": "Completed Inbound"}
    ]


def test_an_answer_is_given_after_every_step(live_server: LiveServer) -> None:
    system = key_of("Telephony systems")
    url = f"{live_server.url}/process-events/"
    assert [speak(url, system, event)[1]["call_status"] for event in EVENTS] == [
        "initiated",
        "answered",
        "ended",
        "initiated",
        "missed",
    ]


def test_all_orders_of_one_call_in_one_batch_are_one_call(live_server: LiveServer) -> None:
    system, analyst = key_of("Telephony systems"), key_of("Analysts")
    url = f"{live_server.url}/process-events/"
    batch = [EVENTS[place] for order in permutations(range(3)) for place in order]
    assert speak(url, system, batch) == (200, {"created": 3, "duplicates": 15, "rejected": []})
    assert speak(f"{live_server.url}/call-history/+1234567890/", analyst) == (200, EXPECTED[:1])
