"""The admin's menu: what each person may look at, by what it is about."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from calls.models import (
    AccessLogEntry,
    AccessToken,
    Call,
    CallEvent,
    CallRecording,
    Client,
    ErasureReceipt,
    RefusedReport,
    SIPConfiguration,
    WebhookSource,
)

# An entry leads to a model's list, or to a screen by the name of its address; calls are what all such screens show.
MENU: list[tuple[str, list[tuple[type[Model] | str, str, str]]]] = [
    (
        "Calls",
        [
            (Call, "Calls", "call"),
            (CallEvent, "Events", "list_alt"),
            ("missed-calls", "Missed calls", "phone_missed"),
            (CallRecording, "Recordings", "graphic_eq"),
            (Client, "Clients", "contacts"),
        ],
    ),
    (
        "Telephony",
        [
            (SIPConfiguration, "SIP configurations", "settings_phone"),
            (WebhookSource, "Webhook sources", "webhook"),
            (RefusedReport, "Refused reports", "report"),
        ],
    ),
    (
        "Access",
        [
            (User, "Users", "person"),
            (Group, "Groups", "groups"),
            (AccessToken, "Access tokens", "key"),
            (AccessAttempt, "Failed sign-ins", "block"),
        ],
    ),
    (
        "Privacy",
        [
            (AccessLogEntry, "Looks at numbers", "visibility"),
            (ErasureReceipt, "Erasures", "ink_eraser"),
        ],
    ),
]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the menu that have something for this person."""
    groups: list[dict[str, Any]] = []
    for title, entries in MENU:
        items = [
            {"title": name, "icon": icon, "link": address}
            for target, name, icon in entries
            if (address := _address(request, target))
        ]
        if items:
            groups.append({"title": title, "separator": bool(groups), "items": items})
    return groups


def _address(request: HttpRequest, target: type[Model] | str) -> str:
    """Return where an entry leads; empty if this person may not look at it."""
    if isinstance(target, str):
        return reverse(target) if request.user.has_perm("calls.view_call") else ""
    registered = admin.site.is_registered(target)
    if not registered or not admin.site.get_model_admin(target).has_view_permission(request):
        return ""
    return reverse(f"admin:{target._meta.label_lower.replace('.', '_')}_changelist")


def own_styles(request: HttpRequest) -> str:
    """Return the address of what we mend of the theme on every screen."""
    return static("calls/admin.css")
