"""Values as the two databases take and give them in SQL of ours."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection


def as_param(value: datetime | UUID) -> Any:
    """Return a value as the database's columns hold it."""
    if connection.vendor == "postgresql":
        return value
    return value.hex if isinstance(value, UUID) else str(value.astimezone(UTC).replace(tzinfo=None))


def as_time(value: Any) -> datetime:
    """Return an instant as a row has it; SQLite's knows no time zone, and may be a text."""
    at: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def as_uuid(value: Any) -> UUID:
    """Return an id as a row has it; SQLite keeps it as text."""
    return value if isinstance(value, UUID) else UUID(value)
