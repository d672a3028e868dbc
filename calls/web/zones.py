"""The time zones that may be asked for."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones


@cache
def zone_names() -> list[str]:
    """Return the names of all IANA time zones in order; they are looked up on the disk once."""
    return sorted(available_timezones())


@cache
def _known() -> frozenset[str]:
    return frozenset(zone_names())


def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of a name, None if there is none."""
    return ZoneInfo(name) if name in _known() else None
