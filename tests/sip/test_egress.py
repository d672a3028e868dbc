"""Which addresses may be reached: public ones on SIP's ports, and what the operator opened; nothing else."""

import ast
import socket
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.sip import egress
from calls.sip.egress import NotAllowed, Unresolvable, find_targets, is_global, may_reach, plain, read_allowances
from calls.sip.options import Account, ask

CALLS = Path(__file__).parents[2] / "calls"
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "223.255.255.255", "2a00:1450::1",
          "2606:4700::1111", "64:ff9b::808:808", "2001:4860:4860::8888"]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0.0.0.0",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "100::1", "2001::1",
    "2001:0:7f00:1::1", "2001:db8::1", "2001:10::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1",
    "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1",
]  # fmt: skip


def targets(host: str, port: int = 5060, allowed: str = "") -> list[tuple[str, int]]:
    found = find_targets(host, port, allowed=read_allowances(allowed.split()), within_seconds=20)
    return [(str(one.address), one.port) for one in found]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_on_the_ports_of_sip_only(address: str) -> None:
    assert targets(address) == targets(f"[{address}]" if ":" in address else address) == [(address, 5060)]
    assert targets(address, 5061) == [(address, 5061)]
    for port in (1, 22, 25, 80, 443, 5059, 5062, 65535):
        with pytest.raises(NotAllowed):
            targets(address, port)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_all_others_are_refused(address: str) -> None:
    with pytest.raises(NotAllowed):
        targets(address)


@pytest.mark.parametrize(
    "spelling",
    ["2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.",
     "0", "0x", "00.0.0.0", "127.0.0.1:5060", "fe80::1%lo", "[::1", "::ffff:127.1", "1.1.1.1.1"],
)  # fmt: skip
def test_an_address_in_another_spelling_is_refused_even_where_it_would_be_allowed(spelling: str) -> None:
    with pytest.raises(NotAllowed):
        targets(spelling, allowed="127.0.0.0/8 ::/0 0.0.0.0/0")


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "-a.example", "a b", "a\r\nb", "sip.example.com/", "user@host", "１.１.１.１", "[127.0.0.1]",
     "ſip.example", "x" * 64, "a." * 127 + "com", "\x00"],
)  # fmt: skip
def test_what_is_no_host_name_is_not_looked_up(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress.socket, "getaddrinfo", None)
    with pytest.raises(Unresolvable):
        targets(text)


@given(st.integers(0, 2**32 - 1))
def test_whatever_leads_to_an_address_that_is_not_public_is_refused(number: int) -> None:
    inner = IPv4Address(number)
    mapped, nat64 = IPv6Address((0xFFFF << 32) | number), IPv6Address((0x64FF9B << 96) | number)
    assert plain(mapped) == inner
    assert may_reach(plain(mapped), 5060, ()) == may_reach(inner, 5060, ()) == is_global(nat64)
    assert not is_global(IPv6Address((0x2002 << 112) | (number << 80) | 1))
    assert not is_global(IPv6Address((0x20010000 << 96) | (number << 64) | (number ^ 0xFFFFFFFF)))
    assert not is_global(IPv6Address(number))


@given(st.one_of(st.ip_addresses(), st.sampled_from(PUBLIC + NOT_PUBLIC).map(ip_address)), st.integers(0, 65535))
def test_only_what_python_too_calls_global_is_reached(address: Any, port: int) -> None:
    if may_reach(address, port, ()):
        assert address.is_global
        assert not address.is_multicast
        assert port in (5060, 5061)


# -- What the operator opens --------------------------------------------------------------------


def test_the_operators_list_opens_networks_and_ports() -> None:
    opened = "127.0.0.0/8:5060-5080 10.1.0.0/16 [fd00::/8]:6000 fd01::7 203.0.113.7:15060"
    for host, port in (
        ("127.0.0.1", 5080), ("10.1.2.3", 5061), ("fd00::1", 6000), ("fd01::7", 5060), ("203.0.113.7", 15060),
        ("::ffff:127.0.0.1", 5060),
    ):  # fmt: skip
        assert targets(host, port, opened) == [(str(plain(ip_address(host))), port)]
    for host, port in (
        ("127.0.0.1", 5081), ("10.1.2.3", 5062), ("10.2.0.1", 5060), ("fd00::1", 5060), ("fd01::8", 5060),
        ("203.0.113.7", 5060), ("203.0.113.8", 15060),
    ):  # fmt: skip
        with pytest.raises(NotAllowed):
            targets(host, port, opened)


@pytest.mark.parametrize("host", ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "::ffff:0.0.0.0"])
def test_no_list_opens_what_is_no_servers_address(host: str) -> None:
    with pytest.raises(NotAllowed):
        targets(host, allowed="0.0.0.0/0 ::/0")


@pytest.mark.parametrize(
    "word",
    ["10.1.0.1/16", "10.1.0.0/33", "localhost", "10.1.0.0/16:", "10.1.0.0/16:0", "10.1.0.0/16:65536", "10.0.0.0/8:9-5",
     "10.0.0.0/8:5060-5080-5090", "fd00::/8:5060:", "[fd00::/8]5060", "10.0.0.0/8:x", ""],
)  # fmt: skip
def test_a_list_that_makes_no_sense_names_the_word(word: str) -> None:
    with pytest.raises(ValueError, match="is no network such as") as refused:
        read_allowances(["10.0.0.0/8", word])
    assert repr(word) in str(refused.value)


# -- Names --------------------------------------------------------------------------------------


def test_a_name_that_leads_here_is_refused_unless_it_is_opened() -> None:
    with pytest.raises(NotAllowed):
        targets("localhost")
    assert targets("localhost", 5070, "127.0.0.0/8:5070") == [("127.0.0.1", 5070)]


def test_a_name_without_an_address_is_unknown() -> None:
    with pytest.raises(Unresolvable):
        targets("nobody.invalid")


def test_a_name_is_looked_up_once_and_only_its_judged_addresses_are_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server could answer with a public address first, and with one inside later."""
    answers = [["127.0.0.1", "127.0.0.9"], ["127.0.0.99"]]
    asked: list[str] = []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers[len(asked) - 1]]

    with socket.create_server(("127.0.0.1", 0)) as trap, socket.create_server(("127.0.0.9", 0)) as open_door:
        port = open_door.getsockname()[1]
        monkeypatch.setattr(egress.socket, "getaddrinfo", look_up)
        found = ask(
            Account("rebinding.test", port, "tcp"),
            allowed=read_allowances([f"127.0.0.9/32:{port}"]),
            within_seconds=0.5,
        )
        assert (found.error, asked) == ("timeout", ["rebinding.test"])
        assert open_door.accept()[1][0] == "127.0.0.1"
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_a_name_server_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    monkeypatch.setattr(egress.socket, "getaddrinfo", lambda *_, **__: end.wait(60) and [])
    with pytest.raises(TimeoutError):
        find_targets("slow.test", 5060, allowed=(), within_seconds=0.05)
    found = ask(Account("slow.test", 5060, "udp"), allowed=(), within_seconds=0.05)
    end.set()
    assert (found.reachable, found.error) == (False, "dns")


def test_nothing_else_in_the_app_opens_sockets() -> None:
    culprits = []
    for path in sorted(CALLS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            # The commands that serve listen, and go nowhere; watch.py goes to our own database.
            if "socket" in names and path.name not in (
                "egress.py",
                "channels.py",
                "serve_asgi.py",
                "serve.py",
                "serve_requests.py",
                "supervisor.py",
                "watch.py",
            ):
                culprits.append(f"{path.name} imports socket")
            # Channels name the type, and are handed what egress opened.
            if (
                path.name == "channels.py"
                and isinstance(node, ast.Call)
                and ast.unparse(node.func).startswith("socket.")
            ):
                culprits.append(f"{path.name}:{node.lineno}")
    assert culprits == []
