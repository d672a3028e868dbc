"""The human door: one screen, one file."""

from calls.admin import access, calls, clients, dashboard, events, quarantine, recordings, sip, webhooks

__all__ = ["access", "calls", "clients", "dashboard", "events", "quarantine", "recordings", "sip", "webhooks"]
