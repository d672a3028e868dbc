"""The latest calls of a client, as its page shows them."""

from typing import Any

from django.urls import reverse

from calls.admin.display import length, moment, number, status_label
from calls.models import Call, Client

CALLS_AT_MOST = 20


def latest_calls_of(client: Client) -> tuple[list[dict[str, Any]], str]:
    """Return a client's latest calls, and where all are listed, if there are more."""
    found = Call.objects.filter(client=client).order_by("-started_at", "-id").defer("notes")
    calls = list(found[: CALLS_AT_MOST + 1])
    more = f"{reverse('admin:calls_call_changelist')}?client={client.pk}" if len(calls) > CALLS_AT_MOST else ""
    return [_row(call) for call in calls[:CALLS_AT_MOST]], more


def _row(call: Call) -> dict[str, Any]:
    return {
        "url": reverse("admin:calls_call_change", args=[call.pk]),
        "start": moment(call.started_at),
        "status": status_label(call.status),
        "direction": call.direction,
        "calling": number(call.calling_number, call.calling_as_sent),
        "called": number(call.called_number, call.called_as_sent),
        "duration": length(call.duration),
    }
