"""Names of servers: hosts, and the URIs of STUN, TURN and WebSocket servers."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
# What ends like a number is an address or nothing: `2130706433`, `0x7f.1` and `127.1` are 127.0.0.1 to some.
NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
# RFC 7064 and RFC 7065
ICE_URI = re.compile(
    r"(?:(stuns?|turns?):)?(\[[^\[\]]+\]|[^:?\[\]/]+)(?::([0-9]{1,5}))?(\?transport=(?:udp|tcp))?", re.ASCII
)
WEB_SOCKET_URI = re.compile(r"(wss?)://(\[[^\[\]]+\]|[^:/?#\[\]]+)(?::([0-9]{1,5}))?([/?][!-~]*)?", re.ASCII)
# Where a browser takes an unencrypted connection for as good as an encrypted one.
THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is in its usual spelling (IPv6 also in brackets), or None."""
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ip_address(inner)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address if inner == host else None
    return None if address.scope_id is not None else address


def is_host_name(text: str) -> bool:
    """Return whether a text is a host name (RFC 1123, with the underscore that DNS also knows)."""
    labels = text.removesuffix(".").split(".")
    return (
        0 < len(text) <= 253 and all(LABEL.fullmatch(label) for label in labels) and not NUMERIC.fullmatch(labels[-1])
    )


def is_host(text: str) -> bool:
    """Return whether a text is a host name or an address, in the one spelling that means the same to everybody."""
    return literal_address(text) is not None or is_host_name(text)


def is_odd_address(text: str) -> bool:
    """Return whether a text is none of these, but is taken for an address by some."""
    return not is_host(text) and (":" in text or bool(NUMERIC.fullmatch(text.removesuffix(".").rpartition(".")[2])))


def stun_uris(text: str) -> list[str]:
    """Return the URIs of STUN servers, from `host`, `host:port` or `stun:` URIs, separated by commas or blanks.

    Raises ValueError that names what is none of these.
    """
    uris = []
    for word in _words(text):
        scheme, address, transport = _read(word, ("stun", "stuns"))
        if transport:
            raise ValueError(f"{word} is no STUN server.")
        uris.append(f"{scheme or 'stun'}:{address}")
    return uris


def turn_uris(text: str) -> list[str]:
    """Return the URIs of TURN servers, from `host`, `host:port` or `turn:` URIs, separated by commas or blanks.

    One that is not a URI is tried over UDP, and over TCP for networks that let no UDP through. Raises ValueError.
    """
    uris = []
    for word in _words(text):
        scheme, address, transport = _read(word, ("turn", "turns"))
        if scheme:
            uris.append(f"{scheme}:{address}{transport}")
        elif transport:
            raise ValueError(f"{word} is no TURN server.")
        else:
            uris += [f"turn:{address}?transport=udp", f"turn:{address}?transport=tcp"]
    return uris


def is_web_socket_uri(text: str) -> bool:
    """Return whether browsers may connect to this: `wss://`, or `ws://` on the same machine."""
    found = WEB_SOCKET_URI.fullmatch(text)
    return bool(
        found and is_host(found[2]) and _is_port(found[3]) and (found[1] == "wss" or found[2].lower() in THIS_MACHINE)
    )


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _read(word: str, schemes: tuple[str, ...]) -> tuple[str, str, str]:
    found = ICE_URI.fullmatch(word)
    if not (found and is_host(found[2]) and _is_port(found[3]) and found[1] in (None, *schemes)):
        raise ValueError(f"{word} is no {schemes[0].upper()} server.")
    port = f":{found[3]}" if found[3] else ""
    return found[1] or "", found[2] + port, found[4] or ""


def _is_port(text: str | None) -> bool:
    return text is None or 1 <= int(text) <= 65535
