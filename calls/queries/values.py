"""Values as the two databases take and give them in SQL of ours."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
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


def as_list(values: Iterable[str | int | UUID]) -> str:
    """Return several values as one parameter: a statement's text, and so its plan, is the same for any number."""
    if connection.vendor == "postgresql":
        # Inside quotes, only quotes and backslashes mean something else (PostgreSQL, 8.15.2 Array Value Input).
        quoted = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
        return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
    return msgspec.json.encode([value.hex if isinstance(value, UUID) else value for value in values]).decode()


def unpacked(kind: str) -> str:
    """Return the SQL, to stand after SELECT, of the values of an `as_list` parameter; `kind` is their type."""
    return f"unnest(%s::{kind}[])" if connection.vendor == "postgresql" else "value FROM json_each(%s)"
