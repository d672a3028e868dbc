"""Instants: reading and writing ISO 8601 dates and times, strictly."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

# Digits are written out as [0-9]: \d would admit those of other scripts.
_DATE = r"(?P<year>[0-9]{4})(?P<dash>-?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
_TIME = (
    r"(?P<hour>[0-9]{2})(?P<colon>:?)(?P<minute>[0-9]{2})"
    r"(?:(?P=colon)(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
)
_OFFSET = r"(?P<zulu>[Zz])|(?P<sign>[+-])(?P<offset_hour>[0-9]{2})(?::?(?P<offset_minute>[0-9]{2}))?"
_DATE_TIME = re.compile(rf"{_DATE}[Tt ]{_TIME}(?:{_OFFSET})?")
_DATE_ONLY = re.compile(_DATE)
# The usual spelling, which Python's own reader takes the same way, several times faster.
_USUAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}(?:[0-9]{3})?)?(?:Z|[+-][0-9]{2}:[0-5][0-9])"
)

FIRST_YEAR, LAST_YEAR = 1970, 2099
EXAMPLE = "2024-04-01T12:00:00Z"


class NotAnInstant(ValueError):
    """A text is not an ISO 8601 date and time that we accept; the message says why."""


def read_instant(text: str) -> datetime:
    """Return the instant that an ISO 8601 date and time names, in UTC; without an offset it is UTC.

    The sixtieth second is the first of the next minute (a leap second); digits beyond
    microseconds are cut. Raises NotAnInstant.
    """
    if _USUAL.fullmatch(text):
        try:
            instant = datetime.fromisoformat(text)
            if instant.tzinfo is not UTC:
                instant = instant.astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # what is wrong with it is found out below
        else:
            if FIRST_YEAR <= instant.year <= LAST_YEAR:
                return instant
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        if _DATE_ONLY.fullmatch(text):
            raise NotAnInstant(f"A date needs a time, as in {EXAMPLE}.")
        raise NotAnInstant(f"Must be an ISO 8601 date and time, as in {EXAMPLE}.")
    parts = found.groupdict()
    second = int(parts["second"] or 0)
    try:
        local = datetime(
            int(parts["year"]),
            int(parts["month"]),
            int(parts["day"]),
            int(parts["hour"]),
            int(parts["minute"]),
            59 if second == 60 else second,
            int((parts["fraction"] or "0")[:6].ljust(6, "0")),
            tzinfo=_zone(parts),
        )
        instant = (local + timedelta(seconds=second == 60)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise NotAnInstant(f"There is no such date and time: {error}.") from None
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise NotAnInstant(f"The year must be between {FIRST_YEAR} and {LAST_YEAR}.")
    return instant


def read_instant_or_date(text: str, *, zone: tzinfo = UTC) -> datetime:
    """Return an instant as `read_instant` does; a date alone is its first instant in a time zone."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return read_instant(text)
    return read_instant(f"{text}T00:00:00Z").replace(tzinfo=zone).astimezone(UTC)


def _zone(parts: dict[str, str | None]) -> timezone:
    if not parts["sign"]:
        return UTC
    hours, minutes = int(parts["offset_hour"] or 0), int(parts["offset_minute"] or 0)
    if minutes > 59:
        raise ValueError("an offset has at most 59 minutes")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if parts["sign"] == "-" else offset)


def write_instant(instant: datetime) -> str:
    """Return an instant in UTC with a Z, and with microseconds only where they are not zero."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
