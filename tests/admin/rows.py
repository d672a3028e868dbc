"""Recordings and clients, as tests of the admin need them."""

import re
from typing import Any

from django.core.files.base import ContentFile
from django.test import Client as Browser
from django.utils import timezone

from calls.models import Call, CallRecording, Client
from calls.operations.clients import set_numbers
from calls.operations.record import record
from calls.operations.recordings import attach_file, begin_recording
from tests.admin.pages import CLIENTS, page_of
from tests.build import at, build_event

ADA, BOB = "+12025550101", "+12025550102"


def make_call(external_id: str = "call-1", number: str = ADA, seconds: float = 0) -> Call:
    """Return a new call from a number."""
    record([build_event("initiated", seconds, call_id=external_id, calling_number=number, direction="inbound")])
    return Call.objects.get(external_id=external_id)


def make_recording(seconds: float = 0, *, call: Call | None = None, **values: Any) -> CallRecording:
    """Return a new recording, of some call if not told of which."""
    recording = begin_recording(call or Call.objects.first() or make_call(), at=at(seconds))
    CallRecording.objects.filter(pk=recording.pk).update(**values)
    recording.refresh_from_db()
    return recording


def with_file(recording: CallRecording) -> CallRecording:
    """Return the recording, with a file of ours."""
    return attach_file(recording, ContentFile(b"RIFFsound"), name="a.wav", format="wav", at=at(1))


def source_of(html: str) -> str:
    """Return what the page's player plays; empty without a player."""
    found = re.search(r"<audio [^>]*src=\"([^\"]*)\"", html)
    return found[1] if found else ""


def make_client(*numbers: str, name: str = "Ada", **values: Any) -> Client:
    """Return a new client with these numbers."""
    client = Client.objects.create(name=name, **values)
    set_numbers(client, numbers, at=timezone.now())
    return client


def save_client(
    browser: Browser, client: Client | None, *numbers: str, remove: tuple[str, ...] = (), **values: Any
) -> Any:
    """Fill in the form: the client's rows first, in their order, with the numbers given, then new rows."""
    rows = list(client.numbers.all()) if client else []
    form: dict[str, Any] = {"name": client.name if client else "Ada", **values}
    form |= {"numbers-TOTAL_FORMS": max(len(numbers), len(rows)), "numbers-INITIAL_FORMS": len(rows)}
    for place, number in enumerate(numbers or [row.number for row in rows]):
        form[f"numbers-{place}-number"] = number
        form[f"numbers-{place}-id"] = rows[place].pk if place < len(rows) else ""
        if number in remove:
            form[f"numbers-{place}-DELETE"] = "on"
    return browser.post(page_of(client) if client else f"{CLIENTS}add/", form)


def client_of(external_id: str) -> str | None:
    """Return the name of a call's client."""
    client = Call.objects.get(external_id=external_id).client
    return client.name if client else None
