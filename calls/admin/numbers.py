"""Everything about one number: `/admin/numbers/+12025550123/`. Extensions, SIP users and `anonymous` have one too."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from calls.admin.addresses import number_link, number_url
from calls.admin.display import link, moment
from calls.admin.keyset import Cursor, Page, read_cursor, write_cursor
from calls.admin.latest import call_row, calls_by_id, page_of_calls
from calls.admin.missed import wait_row
from calls.admin.search import CALL_ORDER
from calls.admin.zones import zone_names, zone_of
from calls.domain.number_facts import facts_of
from calls.domain.numbers import canonical, formatted
from calls.models import Call, ClientNumber
from calls.models.access_log import Look
from calls.models.calls import ID_LENGTH
from calls.operations.access_log import looked_at
from calls.queries.history import is_known
from calls.queries.missed import MissedFilter, missed_calls
from calls.queries.numbers import CALLS_AT_MOST, WINDOW, NumberFigures, figures_of

CALLS_A_PAGE = 25
WAITS_AT_MOST = 5
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# How many shades the heat map has, beside that of no call.
SHADES = 5


def number_page(request: HttpRequest, address: str = "") -> HttpResponse:
    """Show what is known of a number, from its path or, where no path can carry it, from `?number=`."""
    if not request.user.has_perm("calls.view_call"):
        raise PermissionDenied
    address = address or request.GET.get("number", "")
    if not address or len(address) > ID_LENGTH or "\x00" in address:
        raise Http404("There is no such number.")
    if (other := _other_spelling(address)) is not None:
        return HttpResponseRedirect(number_url(other))
    at, zone = timezone.now(), zone_of(request)
    looked_at(request.user, [address], what=Look.ADMIN_NUMBER, at=at)
    figures = figures_of(address, at=at, zone=zone)
    context = {
        **admin.site.each_context(request),
        "title": formatted(address),
        "address": address,
        "facts": facts_of(address),
        "client": _client_of(request, address),
        "figures": figures,
        "rows": _traffic(figures),
        "heat": _heat(figures),
        "hours": range(24),
        "zone": zone.key,
        "zones": zone_names(),
        "window_days": WINDOW.days,
        "since": moment(figures.since),
        "calls_at_most": CALLS_AT_MOST,
        "counterparties": [
            {"number": number_link(one.number), "calls": one.calls, "answered": one.answered, "last": moment(one.last)}
            for one in figures.counterparties
        ],
        "waits": [wait_row(wait) for wait in missed_calls(MissedFilter(number=address), limit=WAITS_AT_MOST).waits],
        "all_calls_url": f"{reverse('admin:calls_call_changelist')}?{urlencode({'q': address})}",
        **_history(request, address),
    }
    return render(request, "admin/calls/number.html", context)


def _other_spelling(address: str) -> str | None:
    """Return under which address the calls are kept: in E.164; a bare number may have lost its plus."""
    if (whole := canonical(address)) != address:
        return whole
    if address.isascii() and address.isdigit() and not is_known(address) and is_known(f"+{address}"):
        return f"+{address}"
    return None


def _client_of(request: HttpRequest, address: str) -> Any:
    """Return whose number it is, as a link, for those who may see clients."""
    if not request.user.has_perm("calls.view_client"):
        return ""
    row = ClientNumber.objects.filter(number=address).select_related("client").first()
    return link(reverse("admin:calls_client_change", args=[row.client_id]), row.client.name) if row else ""


def _traffic(figures: NumberFigures) -> list[dict[str, Any]]:
    return [
        {"title": "Calls made", "traffic": figures.made},
        {"title": "Calls received", "traffic": figures.received},
    ]


def _heat(figures: NumberFigures) -> list[dict[str, Any]]:
    """Return the rows of the heat map; the busiest hour has the strongest shade."""
    most = max((calls for row in figures.heat for calls in row), default=0)
    return [
        {"day": day, "cells": [{"calls": calls, "shade": -(-SHADES * calls // most) if most else 0} for calls in row]}
        for day, row in zip(DAYS, figures.heat, strict=True)
    ]


# -- The history, by pages -----------------------------------------------------------------------


def _history(request: HttpRequest, address: str) -> Mapping[str, Any]:
    cursor = _cursor(request)
    page = page_of_calls(address, size=CALLS_A_PAGE, cursor=cursor)
    found = calls_by_id(page.ids)
    calls = [found[pk] for pk in page.ids if pk in found]
    return {"calls": [call_row(call) for call in calls], **_neighbours(request, address, calls, page, cursor)}


def _cursor(request: HttpRequest) -> Cursor | None:
    for name in ("older", "newer"):
        if text := request.GET.get(name):
            try:
                return read_cursor(Call, text, columns=CALL_ORDER, newer=name == "newer")
            except ValueError:
                messages.warning(request, "That page of the history is not known; this is the first one.")
    return None


def _neighbours(
    request: HttpRequest, address: str, calls: list[Call], page: Page, cursor: Cursor | None
) -> dict[str, str]:
    """Return the addresses of the newer and the older calls; empty where there are none."""
    if not calls:
        return {"newer_url": "", "older_url": ""}
    zone = {"tz": request.GET["tz"]} if request.GET.get("tz") else {}

    def url(name: str, call: Call) -> str:
        place = Cursor((call.started_at, call.pk), newer=name == "newer")
        return number_url(address, **zone, **{name: write_cursor(Call, place)}) + "#history"

    backwards = cursor is not None and cursor.newer
    has_newer, has_older = (page.more, True) if backwards else (cursor is not None, page.more)
    return {
        "newer_url": url("newer", calls[0]) if has_newer else "",
        "older_url": url("older", calls[-1]) if has_older else "",
    }
