"""The human door: one screen, one file."""

from calls.admin import access, calls, events

__all__ = ["access", "calls", "events"]
