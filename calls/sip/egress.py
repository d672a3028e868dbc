"""Which addresses this service may reach when somebody else chose them; nothing else here opens a connection.

A configuration names a server, and we then connect to it: without a bound, whoever may edit one could make
us knock at doors inside our own network (server-side request forgery, CWE-918). So a name is resolved once,
every address is judged, and only an address that was judged is connected to: the name is never looked up again.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from calls.domain.hosts import is_host_name, is_odd_address, literal_address

Address = IPv4Address | IPv6Address

# RFC 3261, section 19.1.2: 5060 for UDP and TCP, 5061 for TLS.
SIP_PORTS = range(5060, 5062)
# Of one name, at most so many addresses are tried.
MOST_TARGETS = 4

# What is not global according to IANA's registries of special-purpose addresses (RFC 6890), with what was given
# back or deprecated since. Written out, because Python's own `is_global` differs from version to version.
SPECIAL_V4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip
# Of IPv6, 2000::/3 is what is given out (RFC 4291); of that, these are special: among them Teredo, documentation,
# and 6to4, which leads to whatever IPv4 address is in it (RFC 7526 ended it).
GLOBAL_V6 = IPv6Network("2000::/3")
SPECIAL_V6 = [IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48",
                                                   "3fff::/20")]  # fmt: skip
# An IPv6-only network reaches an IPv4 address through this prefix (RFC 6052): what counts is the address in it.
NAT64 = IPv6Network("64:ff9b::/96")
# Not even the operator's list opens these: they are not a server's address.
NEVER = [
    ip_network(network)
    for network in ("0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8")
]  # fmt: skip


class NotAllowed(Exception):
    """This address or port may not be reached from here; the message says why, without saying where it leads."""


class Unresolvable(Exception):
    """The name is none, or has no address."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the operator opened: a network, and the ports there."""

    network: IPv4Network | IPv6Network
    ports: range = SIP_PORTS

    def covers(self, address: Address, port: int) -> bool:
        """Return whether this opens the address and port."""
        return address in self.network and port in self.ports


@dataclass(frozen=True, slots=True)
class Target:
    """An address that was judged and may be reached."""

    host: str  # as it was asked for; certificates must name it
    address: Address
    port: int


def read_allowances(words: Iterable[str]) -> tuple[Allowance, ...]:
    """Return what a list such as `127.0.0.0/8:5060-5080`, `10.1.0.0/16`, `[fd00::/8]:5080` opens.

    Without ports it is the SIP ports. Raises ValueError that names the word.
    """
    return tuple(_read_allowance(word) for word in words)


def _read_allowance(word: str) -> Allowance:
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5})(?:-([0-9]{1,5}))?)?", word, re.ASCII)
    network, first, last = (found[1] or found[2], found[3], found[4]) if found else (word, None, None)
    try:
        ports = range(int(first), int(last or first) + 1) if first else SIP_PORTS
        if not (ports and ports[0] >= 1 and ports[-1] <= 65535):
            raise ValueError
        return Allowance(ip_network(network), ports)
    except ValueError:
        raise ValueError(f"{word!r} is no network such as 10.1.0.0/16 or 127.0.0.0/8:5060-5080") from None


# -- Judging ------------------------------------------------------------------------------------


def is_global(address: Address) -> bool:
    """Return whether an address is one of the public Internet, and leads nowhere else."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    if address in NAT64:
        return is_global(_last_32_bits(address))
    return address in GLOBAL_V6 and not any(address in network for network in SPECIAL_V6)


def plain(address: Address) -> Address:
    """Return an IPv4 address that is written as IPv6 (`::ffff:127.0.0.1`) as what it is."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def may_reach(address: Address, port: int, allowed: Iterable[Allowance]) -> bool:
    """Return whether this address and port may be reached."""
    if any(address in network for network in NEVER if network.version == address.version):
        return False
    if any(one.covers(address, port) for one in allowed):
        return True
    return port in SIP_PORTS and is_global(address)


def _last_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)


# -- Looking up ---------------------------------------------------------------------------------


def find_targets(host: str, port: int, *, allowed: Iterable[Allowance], within_seconds: float) -> list[Target]:
    """Return the addresses of a host that may be reached, in the order in which to try them.

    Only A and AAAA records count: of the ways to find a SIP server (RFC 3263), NAPTR and SRV records are not
    followed, because a configuration names its port and transport. Raises NotAllowed, Unresolvable, TimeoutError.
    """
    allowed = tuple(allowed)
    found = _addresses(host, port, within_seconds)
    targets = [Target(host, address, port) for address in found if may_reach(address, port, allowed)]
    if not targets:
        raise NotAllowed(f"{host} port {port} is neither public SIP nor allowed by SIP_EGRESS_ALLOW.")
    return targets[:MOST_TARGETS]


def _addresses(host: str, port: int, within_seconds: float) -> list[Address]:
    literal = literal_address(host)
    if literal is not None:
        return [plain(literal)]
    if is_odd_address(host):
        raise NotAllowed("An address must be written in its usual form.")
    if not is_host_name(host):
        raise Unresolvable("This is not a host name.")
    answers = _look_up(host, port, within_seconds)
    return list(dict.fromkeys(plain(ip_address(text)) for text in answers))


def _look_up(host: str, port: int, within_seconds: float) -> list[str]:
    """Ask the system for a name's addresses; it knows no deadline, so it is asked in a thread that may be left behind.

    Raises Unresolvable, TimeoutError.
    """
    found: list[str] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(str(address[0]) for *_, address in answers if "%" not in str(address[0]))

    thread = threading.Thread(target=ask, daemon=True, name="look up a SIP server")
    thread.start()
    thread.join(max(0.0, within_seconds))
    if thread.is_alive():
        raise TimeoutError
    if not found:
        raise Unresolvable("The name has no address.")
    return found


# -- Connecting ---------------------------------------------------------------------------------


def open_udp(target: Target) -> socket.socket:
    """Return a UDP socket that sends to this address only, and hears nobody else. Raises OSError."""
    return _connected(target, socket.SOCK_DGRAM, within_seconds=None)


def open_tcp(target: Target, *, within_seconds: float) -> socket.socket:
    """Return a TCP connection to this address. Raises OSError, TimeoutError."""
    return _connected(target, socket.SOCK_STREAM, within_seconds=within_seconds)


def open_tls(target: Target, *, within_seconds: float, ca_file: str = "") -> socket.socket:
    """Return a TLS connection to this address, whose certificate is trusted and names the host that was asked for.

    Trusted is what the system trusts, or else what is in `ca_file`. Raises OSError (with ssl.SSLError), TimeoutError.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    deadline = time.monotonic() + within_seconds
    plain_socket = open_tcp(target, within_seconds=within_seconds)
    try:
        plain_socket.settimeout(max(0.001, deadline - time.monotonic()))
        return context.wrap_socket(plain_socket, server_hostname=target.host.strip("[]").removesuffix("."))
    except BaseException:
        plain_socket.close()
        raise


def _connected(target: Target, kind: socket.SocketKind, *, within_seconds: float | None) -> socket.socket:
    family = socket.AF_INET if isinstance(target.address, IPv4Address) else socket.AF_INET6
    made = socket.socket(family, kind)
    try:
        made.settimeout(within_seconds)
        made.connect((str(target.address), target.port))
    except BaseException:
        made.close()
        raise
    return made
