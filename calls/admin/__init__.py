"""The human door: one screen, one file."""

from calls.admin import (
    access,
    access_log,
    calls,
    clients,
    dashboard,
    erasure,
    events,
    quarantine,
    recordings,
    sip,
    webhooks,
)

__all__ = [
    "access",
    "access_log",
    "calls",
    "clients",
    "dashboard",
    "erasure",
    "events",
    "quarantine",
    "recordings",
    "sip",
    "webhooks",
]
