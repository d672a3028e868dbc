"""The human door: one screen, one file."""

from calls.admin import access, calls, clients, events, quarantine, recordings, sip, webhooks

__all__ = ["access", "calls", "clients", "events", "quarantine", "recordings", "sip", "webhooks"]
