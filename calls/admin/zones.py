"""The time zone in which a screen counts its days and hours."""

from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from django.contrib import messages
from django.http import HttpRequest

UTC = "UTC"


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """Return the names of all time zones (IANA), without those that only exist for old software."""
    names = {name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/"))}
    return tuple(sorted({UTC, *names}))


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the time zone that `?tz=` asks for; UTC, and a warning, for one that does not exist."""
    name = request.GET.get("tz", "").strip() or UTC
    if name in available_timezones():
        return ZoneInfo(name)
    messages.warning(request, "There is no such time zone; the times are those of UTC.")
    return ZoneInfo(UTC)
