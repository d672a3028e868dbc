"""What tests build with: events, tables of events, signed-in clients."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client

from calls.domain.events import Event
from calls.domain.vocabulary import CallType, Direction, EventType, Source
from calls.models import AccessToken

NOON = datetime(2024, 4, 1, 12, tzinfo=UTC)
CALLER, CALLEE = "+1234567890", "+9876543210"

_numbers = itertools.count(1)


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after noon of the day on which all tests happen."""
    return NOON + timedelta(seconds=seconds)


def build_event(type: str = "initiated", seconds: float = 0, **values: Any) -> Event:
    """Return an event of a call from CALLER to CALLEE; whatever matters to the test is named by it."""
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "event_id": f"event-{number}",
        "call_id": "call-1",
        "type": EventType(type),
        "occurred_at": at(seconds),
        "received_at": values.get("occurred_at", at(seconds)),
        "source": Source.PROCESS_EVENTS,
        "word": type,
        "calling_number": CALLER,
        "called_number": CALLEE,
    }
    return Event(**{**defaults, **values})


def seconds_of(text: str) -> float:
    """Return the seconds of a time in a table, such as 1:05 or 0:00.5."""
    minutes, _, seconds = text.rpartition(":")
    return int(minutes or 0) * 60 + float(seconds)


def read_table(table: str, **values: Any) -> list[Event]:
    """Return the events of a table with one event a line: its time, its type, what else it says.

    What else: `by=api` (the source), `cause=busy`, `to=+123` (transfer), `way=inbound`, `user=1`,
    `from=+1…`, `called=+1…`, `late=400` (received so many seconds later), `kind=video`.
    """
    readers = {
        "by": lambda text: {"source": Source(text)},
        "cause": lambda text: {"cause": text},
        "to": lambda text: {"transfer_to": text},
        "way": lambda text: {"direction": Direction(text)},
        "kind": lambda text: {"call_type": CallType(text)},
        "user": lambda text: {"user_id": int(text)},
        "from": lambda text: {"calling_number": text},
        "called": lambda text: {"called_number": text},
        "id": lambda text: {"event_id": text},
    }
    events = []
    for line in table.strip().splitlines():
        time, kind, *more = line.split("#")[0].split()
        said: dict[str, Any] = dict(values)
        seconds = seconds_of(time)
        for part in more:
            key, _, text = part.partition("=")
            if key == "late":
                said["received_at"] = at(seconds + float(text))
            else:
                said.update(readers[key](text))
        events.append(build_event(kind, seconds, **said))
    return events


def sign_in(group: str = "", *, superuser: bool = False, name: str = "") -> Client:
    """Return a client that carries the token of a new user in a group."""
    user = User.objects.create_user(name or f"user-{next(_numbers)}", is_superuser=superuser, is_staff=superuser)
    if group:
        user.groups.add(Group.objects.get(name=group))
    _, key = AccessToken.objects.create(user=user, name="test")
    return Client(headers={"Authorization": f"Token {key}"}, raise_request_exception=False)


def report(**values: Any) -> dict[str, Any]:
    """Return a body for `POST /process-events/`."""
    number = next(_numbers)
    return {
        "event_id": f"event-{number}",
        "call_id": "call-1",
        "event": "INITIATE",
        "calling_number": CALLER,
        "called_number": CALLEE,
        "created_at": "2024-04-01T12:00:00Z",
    } | values


def sip_report(event_type: str = "call_initiated", seconds: float = 0, **values: Any) -> dict[str, Any]:
    """Return a body for `POST /api/webhooks/sip/`, so many seconds after noon."""
    return {
        "event_type": event_type,
        "sip_call_id": "call-1",
        "caller_number": CALLER,
        "recipient_number": CALLEE,
        "timestamp": at(seconds).isoformat(),
    } | values


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Send a JSON body to a path under `/api/` and return the answer."""
    data = body if isinstance(body, bytes | str) else json.dumps({} if body is None else body)
    return client.generic(method, f"/api/{path}", data, content_type="application/json", headers=headers)


def told(client: Client, *reports: dict[str, Any]) -> str:
    """Report events to the SIP webhook, and return our id of the last one's call."""
    for body in reports:
        answer = send(client, "POST", "webhooks/sip/", body)
        assert answer.status_code == 200, answer.json()
    return str(answer.json()["call_id"])
