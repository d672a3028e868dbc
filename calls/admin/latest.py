"""The latest calls of a client, or of a number, as the pages of others show them."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.urls import reverse

from calls.admin.addresses import number_link
from calls.admin.display import anomaly_labels, length, moment, status_label
from calls.admin.keyset import Branch, Cursor, Page, find_page
from calls.admin.search import CALL_ORDER
from calls.models import Call, Client

CALLS_AT_MOST = 20
OTHER_CALLS_AT_MOST = 10


def latest_calls_of(client: Client) -> tuple[list[dict[str, Any]], str]:
    """Return a client's latest calls, and where all are listed, if there are more."""
    found = Call.objects.filter(client=client).order_by("-started_at", "-id").defer("notes")
    calls = list(found[: CALLS_AT_MOST + 1])
    more = f"{reverse('admin:calls_call_changelist')}?client={client.pk}" if len(calls) > CALLS_AT_MOST else ""
    return [call_row(call) for call in calls[:CALLS_AT_MOST]], more


def branches_of(number: str) -> Sequence[Branch]:
    """Return where the calls of a number lie: those it made, and those it received."""
    return (Branch(Q(calling_number=number)), Branch(Q(called_number=number) & ~Q(calling_number=number)))


def page_of_calls(number: str, *, size: int, cursor: Cursor | None = None) -> Page:
    """Return one page of a number's calls, the latest first."""
    return find_page(Call.objects.all(), branches_of(number), columns=CALL_ORDER, size=size, cursor=cursor)


def calls_by_id(ids: Iterable[UUID]) -> dict[UUID, Call]:
    """Return calls with what is shown of them."""
    found = Call.objects.filter(pk__in=list(ids)).select_related("client", "handled_by").defer("notes").order_by()
    return {call.pk: call for call in found}


def other_calls_of(call: Call) -> list[dict[str, Any]]:
    """Return, for both numbers of a call, their latest other calls."""
    numbers = dict.fromkeys(number for number in (call.calling_number, call.called_number) if number)
    ids = {
        number: [pk for pk in page_of_calls(number, size=OTHER_CALLS_AT_MOST + 1).ids if pk != call.pk]
        for number in numbers
    }
    calls = calls_by_id({pk for found in ids.values() for pk in found})
    return [
        {
            "number": number_link(number),
            "label": f"Other calls of {number}",
            "calls": [call_row(calls[pk]) for pk in found[:OTHER_CALLS_AT_MOST] if pk in calls],
        }
        for number, found in ids.items()
    ]


def call_row(call: Call) -> dict[str, Any]:
    """Return a call as a row of a table."""
    return {
        "url": reverse("admin:calls_call_change", args=[call.pk]),
        "start": moment(call.started_at),
        "status": status_label(call.status),
        "direction": call.direction,
        "calling": number_link(call.calling_number, call.calling_as_sent),
        "called": number_link(call.called_number, call.called_as_sent),
        "duration": length(call.duration),
        "anomalies": anomaly_labels(call.anomalies) if call.anomalies else "",
    }
