"""Settings come from the environment; this is how they are read and refused.

A setting that is missing or unsafe stops the start with its own name in the message,
so that nobody has to guess (https://12factor.net/config).
"""

import os
import re
from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from dotenv import load_dotenv

BASE_DIR = Path(__file__).resolve().parent.parent

TRUE_WORDS = {"1", "true", "yes", "on"}
FALSE_WORDS = {"", "0", "false", "no", "off"}


def read_dotenv() -> None:
    """Read `.env` beside manage.py, if there is one; the real environment wins.

    Only the command line does this. The web entries (wsgi, asgi) see nothing but the
    environment that the operator gave them.
    """
    load_dotenv(BASE_DIR / ".env")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")


def refuse(name: str, why: str) -> ImproperlyConfigured:
    """Return the error that stops an unsafe or impossible start, naming the setting."""
    return ImproperlyConfigured(f"{name} {why} (see .env.example and docs/settings.md)")


def text(name: str, default: str = "") -> str:
    """Return a setting as text without surrounding blanks."""
    return os.environ.get(name, default).strip()


def required(name: str, why: str) -> str:
    """Return a setting that has no safe default; refuse to start without it."""
    value = text(name)
    if not value:
        raise refuse(name, f"is not set: {why}")
    return value


def flag(name: str, default: bool) -> bool:
    """Return a setting that is on or off."""
    value = os.environ.get(name)
    if value is None:
        return default
    word = value.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise refuse(name, f"is {value!r}, but must be true or false")


def number(name: str, default: int) -> int:
    """Return a setting that is a whole number, zero or more."""
    value = text(name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit()):
        raise refuse(name, f"is {value!r}, but must be a whole number")
    return int(value)


def words(name: str, default: str = "") -> list[str]:
    """Return a comma-separated setting as a list without blanks."""
    return [word for part in text(name, default).split(",") if (word := part.strip())]


def rate(name: str, default: str = "") -> str:
    """Return a setting such as 60/minute; empty means no bound."""
    value = text(name, default)
    if value and not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", value):
        raise refuse(name, f"is {value!r}, but must be like 60/minute (or second, hour, day), or empty")
    return value


_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def age(name: str, default: str) -> timedelta | None:
    """Return a setting that is a length of time, such as 90m, 12h, 30d or 4w; `never` is None."""
    value = text(name) or default
    if value == "never":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", value)
    if found is None:
        raise refuse(name, f"is {value!r}, but must be like 90m, 12h, 30d or 4w, or never")
    return timedelta(**{_AGE_UNITS[found[2]]: int(found[1])})


def one_of(name: str, default: str, choices: tuple[str, ...]) -> str:
    """Return a setting that is one of a few words, in capitals."""
    value = text(name, default).upper()
    if value not in choices:
        raise refuse(name, f"is {value!r}, but must be one of {', '.join(choices)}")
    return value
