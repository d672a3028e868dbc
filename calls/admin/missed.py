"""Missed calls to return: who called in vain, until somebody has called back or they got through."""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from calls.admin.addresses import number_link
from calls.admin.display import NOTHING, link, moment, short
from calls.admin.filters import midnight, read_day
from calls.admin.picture import roughly
from calls.domain.instants import write_instant
from calls.domain.missed import Returned, Wait
from calls.domain.state import whole_seconds
from calls.models import Client
from calls.queries.missed import LOOK_THROUGH, MissedFilter, Place, all_missed_calls, missed_calls
from calls.web.csv import csv_response

WAITS_A_PAGE = 50
STATES: dict[str, tuple[str, bool | None]] = {
    "open": ("Open", True),
    "returned": ("Returned", False),
    "all": ("All", None),
}
# The days, counted from today, on which a period begins.
PERIODS: dict[str, tuple[str, int | None]] = {
    "today": ("Today", 0),
    "7days": ("Last 7 days", -6),
    "30days": ("Last 30 days", -29),
    "ever": ("Ever", None),
}
HOW = {Returned.CALLED_BACK: "called back", Returned.GOT_THROUGH: "got through"}
COLUMNS = (
    "caller_number",
    "client",
    "state",
    "missed_calls",
    "first_missed_at_utc",
    "last_missed_at_utc",
    "returned_at_utc",
    "returned_how",
    "returned_by",
    "waited_seconds",
    "attempts",
    "last_attempt_at_utc",
)
_SALT = "calls.admin.missed"


def missed_page(request: HttpRequest) -> HttpResponse:
    """Show the missed calls to return, the latest first."""
    _check(request)
    try:
        wanted, chosen = _wanted(request)
    except IncorrectLookupParameters as error:
        messages.warning(request, f"{error} These are the open ones of the last 30 days.")
        wanted, chosen = _read({})
    page = missed_calls(wanted, limit=WAITS_A_PAGE, after=_place(request))
    sees_clients = request.user.has_perm("calls.view_client")
    context = {
        **admin.site.each_context(request),
        "title": "Missed calls to return",
        "waits": [wait_row(wait, sees_client=sees_clients) for wait in page.waits],
        "sees_clients": sees_clients,
        "chosen": chosen,
        "states": _choices(STATES, chosen, "state"),
        "periods": _choices(PERIODS, chosen, "period"),
        "client": Client.objects.filter(pk=wanted.client).first() if wanted.client and sees_clients else None,
        "without_client_url": _url(chosen, client=""),
        "older_url": _url(chosen, older=_write_place(page.next)) if page.next else "",
        "first_url": _url(chosen) if request.GET.get("older") else "",
        "looked_through": LOOK_THROUGH if page.next and len(page.waits) < WAITS_A_PAGE else 0,
        "export_url": f"{reverse('missed-calls-export')}?{urlencode(chosen)}",
    }
    return render(request, "admin/calls/missed.html", context)


def missed_export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Stream the same missed calls, all pages of them, as CSV."""
    _check(request)
    try:
        wanted, _ = _wanted(request)
    except IncorrectLookupParameters as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    sees_clients = request.user.has_perm("calls.view_client")
    return csv_response("missed-calls.csv", COLUMNS, _lines(wanted, sees_clients=sees_clients))


def _lines(wanted: MissedFilter, *, sees_clients: bool) -> Iterator[tuple[Any, ...]]:
    for wait in all_missed_calls(wanted):
        contact = wait.contact
        yield (
            wait.caller,
            wait.client.name if wait.client and sees_clients else "",
            "returned" if contact else "open",
            wait.missed,
            write_instant(wait.first_missed_at),
            write_instant(wait.last_missed_at),
            write_instant(contact.at) if contact else "",
            HOW[contact.how] if contact else "",
            contact.handled_by if contact else "",
            whole_seconds(wait.waited) if wait.waited is not None else "",
            wait.attempts,
            write_instant(wait.last_attempt_at) if wait.last_attempt_at else "",
        )


def wait_row(wait: Wait, *, sees_client: bool = False) -> dict[str, Any]:
    """Return a wait as a row of a table."""
    contact = wait.contact
    client = wait.client if sees_client else None
    return {
        "caller": number_link(wait.caller),
        "client": link(reverse("admin:calls_client_change", args=[client.pk]), client.name) if client else NOTHING,
        "client_id": client.pk if client else "",
        "missed": f"{wait.missed}+" if wait.more else wait.missed,
        "first": moment(wait.first_missed_at) if wait.missed > 1 else "",
        "last": link(_call_url(wait.last_call), moment(wait.last_missed_at)),
        "attempts": wait.attempts,
        "last_attempt": moment(wait.last_attempt_at) if wait.last_attempt_at else "",
        "open": contact is None,
        "how": HOW[contact.how] if contact else "",
        "by": short(contact.handled_by, width=20) if contact else "",
        "returned": link(_call_url(contact.call), moment(contact.at)) if contact else "",
        "waited": roughly(whole_seconds(wait.waited)) if wait.waited is not None else "",
        "waiting": roughly(whole_seconds(timezone.now() - wait.first_missed_at)),
    }


def _call_url(call: UUID) -> str:
    return reverse("admin:calls_call_change", args=[call])


def _check(request: HttpRequest) -> None:
    if not request.user.has_perm("calls.view_call"):
        raise PermissionDenied


# -- What is wanted ------------------------------------------------------------------------------


def _wanted(request: HttpRequest) -> tuple[MissedFilter, dict[str, str]]:
    names = ("state", "period", "from", "to", "client")
    given = {name: request.GET.get(name, "").strip() for name in names}
    if given["client"] and not request.user.has_perm("calls.view_client"):
        raise IncorrectLookupParameters("You may not see clients.")
    return _read(given)


def _read(given: dict[str, str]) -> tuple[MissedFilter, dict[str, str]]:
    """Return the filter, and the parameters that make it; raise IncorrectLookupParameters."""
    state, period = given.get("state") or "open", given.get("period") or ""
    days = [read_day(given.get(name, "")) for name in ("from", "to")]
    if not period and not any(days):
        period = "30days"
    if state not in STATES or (period and period not in PERIODS):
        raise IncorrectLookupParameters(f"There is no state {state!r} or no period {period!r}.")
    client = given.get("client", "")
    if client and not re.fullmatch("[0-9]{1,18}", client):
        raise IncorrectLookupParameters(f"There is no client {client!r}.")
    start, end = _bounds(period, *days)
    wanted = MissedFilter(open=STATES[state][1], start=start, end=end, client=int(client) if client else None)
    chosen = {"state": state, "period": period, "client": client}
    if not period:
        chosen |= {name: given.get(name, "") for name in ("from", "to")}
    return wanted, {name: value for name, value in chosen.items() if value}


def _bounds(period: str, first: date | None, last: date | None) -> tuple[datetime | None, datetime | None]:
    """Return the period as a start and an end; days are those of UTC, the last one included."""
    if period:
        ago = PERIODS[period][1]
        return (None if ago is None else midnight(timezone.localdate() + timedelta(days=ago))), None
    return (
        None if first is None else midnight(first),
        None if last is None else midnight(last + timedelta(days=1)),
    )


def _choices(words: dict[str, Any], chosen: dict[str, str], name: str) -> list[dict[str, Any]]:
    return [
        {"title": title, "selected": chosen.get(name) == word, "url": _url(chosen, **{name: word})}
        for word, (title, _) in words.items()
    ]


def _url(chosen: dict[str, str], **changes: str) -> str:
    parameters = {**chosen, **changes}
    if changes.get("period"):
        parameters |= {"from": "", "to": ""}
    return "?" + urlencode({name: value for name, value in parameters.items() if value})


def _write_place(place: Place) -> str:
    return Signer(salt=_SALT).sign_object([place.started_at.isoformat(), str(place.id)])


def _place(request: HttpRequest) -> Place | None:
    text = request.GET.get("older")
    if not text:
        return None
    try:
        started_at, pk = Signer(salt=_SALT).unsign_object(text)
        return Place(datetime.fromisoformat(started_at), UUID(pk))
    except (BadSignature, ValueError):
        messages.warning(request, "That page of the list is not known; this is the first one.")
        return None
