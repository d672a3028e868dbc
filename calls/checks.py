"""What is looked at whenever the app is loaded, by a command or by a server: an unsafe start is refused."""

import sqlite3

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

# RETURNING (3.35) and UPDATE … FROM (3.33) are what the write path is made of.
OLDEST_SQLITE = (3, 35, 0)


def refuse_unsafe_start() -> None:
    """Raise ImproperlyConfigured, naming the setting, if the service could lose, misread or leak something."""
    for problem in (_sqlite_problem(), _own_numbers_problem(), _keys_problem()):
        if problem:
            raise ImproperlyConfigured(f"{problem} (see docs/settings.md)")


def _sqlite_problem() -> str:
    database = settings.DATABASES["default"]
    if "sqlite3" not in database["ENGINE"]:
        return ""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return f"SQLite {sqlite3.sqlite_version} is too old, 3.35 is needed: use a newer Python, or DATABASE_URL"
    pragmas = str(database.get("OPTIONS", {}).get("init_command", "")).lower().replace(" ", "")
    if "synchronous=full" not in pragmas:
        return "DATABASE_URL takes away `PRAGMA synchronous=FULL`: events would be answered before they are durable"
    return ""


def _own_numbers_problem() -> str:
    wrong = [number for number in settings.OWN_NUMBERS if not _begins_a_number(number.rstrip("*"))]
    if not wrong:
        return ""
    return f"OWN_NUMBERS has {', '.join(map(repr, wrong))}, which no E.164 number begins with; write it as +4930123456"


def _begins_a_number(text: str) -> bool:
    return text.startswith("+") and text[1:].isascii() and text[1:].isdigit()


def _keys_problem() -> str:
    for place, key in enumerate(settings.ENCRYPTION_KEYS, start=1):
        try:
            Fernet(key)
        except ValueError:
            return f"ENCRYPTION_KEYS: key {place} is no Fernet key"
    return ""
