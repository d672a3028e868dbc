"""Where the pages of numbers are, and links to them."""

import re

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from calls.admin.display import NOTHING, link, number

# What a path carries as it is; any other address goes into the query string.
_PLAIN = re.compile(r"[A-Za-z0-9+*#_@:,;=~-][A-Za-z0-9+*#_@:,;=~.-]*")


def number_url(address: str, **parameters: str) -> str:
    """Return where the page of a number (or extension, SIP user, `anonymous`) is."""
    if _PLAIN.fullmatch(address):
        url = reverse("number-page", args=[address])
    else:
        url, parameters = reverse("any-number-page"), {"number": address, **parameters}
    return f"{url}?{urlencode(parameters)}" if parameters else url


def number_link(address: str, as_sent: str | None = None) -> SafeString | str:
    """Return a number, shown as everywhere, as a link to its page."""
    return link(number_url(address), number(address, as_sent)) if address else NOTHING
