"""What is looked at before the service starts; a start that could lose or misread calls is refused."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks

# RETURNING (3.35) and UPDATE … FROM (3.33) are what the write path is made of.
OLDEST_SQLITE = (3, 35, 0)


@checks.register(checks.Tags.database)
def check_sqlite(app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any) -> list[Any]:
    """Refuse an SQLite that is too old, or whose commits would not survive a power cut."""
    found: list[Any] = []
    database = settings.DATABASES["default"]
    if "sqlite3" not in database["ENGINE"]:
        return found
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        found.append(
            checks.Error(
                f"SQLite {sqlite3.sqlite_version} is too old.",
                hint="The write path needs 3.35 or newer; use a newer Python, or PostgreSQL.",
                id="calls.E001",
            )
        )
    if "synchronous=full" not in database.get("OPTIONS", {}).get("init_command", "").lower().replace(" ", ""):
        found.append(
            checks.Error(
                "SQLite would answer before an event is durably stored.",
                hint="Keep `PRAGMA synchronous=FULL` in the database's init_command.",
                id="calls.E002",
            )
        )
    return found


@checks.register(checks.Tags.compatibility)
def check_own_numbers(app_configs: Any = None, **kwargs: Any) -> list[Any]:
    """Refuse OWN_NUMBERS that could never match a number."""
    wrong = [
        number
        for number in settings.OWN_NUMBERS
        if not (number.startswith("+") and number.rstrip("*")[1:].isascii() and number.rstrip("*")[1:].isdigit())
    ]
    if not wrong:
        return []
    return [
        checks.Error(
            f"OWN_NUMBERS has {', '.join(map(repr, wrong))}, which no E.164 number begins with.",
            hint="Write numbers, or their beginnings, as +4930123456, separated by commas.",
            id="calls.E003",
        )
    ]
