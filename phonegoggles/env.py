"""Settings come from the environment; this is how they are read and refused.

A setting that is missing or unsafe stops the start with its own name in the message,
so that nobody has to guess (https://12factor.net/config).
"""

import os
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
