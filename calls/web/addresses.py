"""Where a request comes from: the address by which guesses are counted.

Behind a proxy every request has the proxy's address. Which client a proxy speaks for stands in X-Forwarded-For; anybody
may write anything there, so of it only what our own proxies (setting TRUSTED_PROXIES) added is believed.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest

# How TRUSTED_PROXIES spells a proxy that connects through a Unix domain socket, which has no address.
UNIX = "unix"
# More proxies than this stand in no row; the rest of the header is a stranger's.
MOST_HOPS = 16
# Whoever has an IPv6 address has 2**64 of them (RFC 4291, section 2.5.1).
IPV6_PREFIX = 64


def client_address(request: HttpRequest) -> str | None:
    """Return the address that a request is counted by: an IPv4 address, or the first of an IPv6 /64; None if unknown.

    It is the one nearest to us that is no trusted proxy's.
    """
    address = _read(request.META.get("REMOTE_ADDR") or "")
    trusted = UNIX in settings.TRUSTED_PROXIES if address is None else _is_trusted(address)
    if trusted:
        hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[-MOST_HOPS:]
        for hop in reversed(hops):
            found = _read(hop)
            if found is None:
                break  # what a proxy of ours does not write: what stands before it is not believed
            address = found
            if not _is_trusted(found):
                break
    if address is None:
        return None
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_PREFIX), strict=False).network_address)
    return str(address)


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, which may have a port (as some proxies write it) or be IPv4 spelled as IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES if network != UNIX)
