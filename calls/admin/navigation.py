"""The admin's menu: what each person may look at, by what it is about."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from calls.models import (
    AccessToken,
    Call,
    CallEvent,
    CallRecording,
    Client,
    RefusedReport,
    SIPConfiguration,
    WebhookSource,
)

MENU: list[tuple[str, list[tuple[type[Model], str, str]]]] = [
    (
        "Calls",
        [
            (Call, "Calls", "call"),
            (CallEvent, "Events", "list_alt"),
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
]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the menu that have something for this person."""
    groups: list[dict[str, Any]] = []
    for title, entries in MENU:
        items = [
            {
                "title": name,
                "icon": icon,
                "link": reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist"),
            }
            for model, name, icon in entries
            if admin.site.is_registered(model) and admin.site.get_model_admin(model).has_view_permission(request)
        ]
        if items:
            groups.append({"title": title, "separator": bool(groups), "items": items})
    return groups
