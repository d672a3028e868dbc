"""The OPTIONS client against peers that do what no well-kept server does."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calls.sip.channels import MOST_BYTES
from calls.sip.options import Account, Finding, ask
from tests.sip.certificates import certify
from tests.sip.conftest import LOOPBACK
from tests.sip.scripted import Asked, Script, answer, stream_peer, udp_peer

LONG, SHORT = 30.0, 0.6


def ask_peer(port: int, transport: str = "udp", *, within: float = LONG, ca_file: str = "", **values: Any) -> Finding:
    account = Account("127.0.0.1", port, transport, **{"username": "ada", "password": "right", **values})
    return ask(account, allowed=LOOPBACK, within_seconds=within, ca_file=ca_file)


def udp(script: Script, **values: Any) -> tuple[Finding, list[Asked]]:
    with udp_peer(script) as peer:
        found = ask_peer(peer.port, **values)
    return found, peer.asked


def tcp(script: Script, *, hang_up: bool = False, **values: Any) -> tuple[Finding, list[Asked]]:
    with stream_peer(script, hang_up=hang_up) as peer:
        found = ask_peer(peer.port, "tcp", **values)
    return found, peer.asked


def challenge(asked: Asked, *values: str, nonce: str = "n1", more: str = "") -> bytes:
    values = values or (f'Digest realm="r", nonce="{nonce}", qop="auth"{more}',)
    return answer(asked, "401 Unauthorized", *(f"WWW-Authenticate: {value}" for value in values))


def given(asked: Asked) -> dict[str, str]:
    """The parameters of the credentials that a request has."""
    return {
        name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|[^,\s]+)', asked.header("Authorization"))
    }


# -- The request ---------------------------------------------------------------------------------


def test_the_request_has_what_rfc_3261_wants() -> None:
    found, asked = udp(lambda asked: [answer(asked, "200 OK", "Server: mine")])
    (request,) = asked
    assert (found.reachable, found.status_code, found.server) == (True, 200, "mine")
    assert re.match(r"OPTIONS sip:127\.0\.0\.1:\d+ SIP/2\.0\r\n", request.text)
    assert re.fullmatch(r"SIP/2\.0/UDP 127\.0\.0\.1:\d+;branch=z9hG4bK[0-9a-f]+;rport", request.header("Via"))
    assert request.header("Max-Forwards") == "70"
    assert re.fullmatch(r'"phonegoggles" <sip:ada@127\.0\.0\.1>;tag=[0-9a-f]{16}', request.header("From"))
    assert re.fullmatch(r"<sip:127\.0\.0\.1:\d+>", request.header("To"))
    assert (request.header("CSeq"), request.header("Content-Length")) == ("1 OPTIONS", "0")
    assert len(request.header("Call-ID")) == 32
    assert "right" not in request.text


@pytest.mark.parametrize("field", ["username", "password", "realm"])
def test_line_breaks_in_an_account_never_reach_the_wire(field: str) -> None:
    evil = "x\r\nEvil: yes"
    found, asked = udp(lambda asked: [challenge(asked)], **{field: evil})
    assert asked
    assert all("Evil" not in line.split(":")[0] for one in asked for line in one.text.split("\r\n"))
    assert found.authenticated is not True


@pytest.mark.parametrize("host", ["sip.example.com\r\nEvil", "x y", "a>b", "sip.example.com;x"])
def test_a_host_that_is_none_is_not_asked(host: str) -> None:
    found = ask(Account(host, 5060, "udp"), allowed=LOOPBACK, within_seconds=SHORT)
    assert (found.reachable, found.error) == (False, "dns")


def test_only_udp_tcp_and_tls_can_be_tested() -> None:
    assert [ask_peer(5060, transport).error for transport in ("ws", "wss")] == ["unsupported", "unsupported"]


# -- UDP: what is lost is sent again ---------------------------------------------------------------


def test_a_request_is_sent_again_until_it_is_answered() -> None:
    found, asked = udp(lambda asked: [answer(asked, "200 OK")] if asked.count == 2 else [])
    assert (found.reachable, found.error, len(asked)) == (True, None, 3)
    assert len({one.text for one in asked}) == 1  # the very same request (RFC 3261, section 17.1.2.2)
    assert found.latency_ms is not None
    assert found.latency_ms >= 1500  # T1, then twice T1


def test_a_provisional_answer_is_no_answer_yet() -> None:
    found, asked = udp(
        lambda asked: [answer(asked, "100 Trying"), answer(asked, "180 Ringing"), answer(asked, "200 OK")]
    )
    assert (found.status_code, found.reason, len(asked)) == (200, "OK", 1)


def test_after_a_provisional_answer_it_is_still_sent_again() -> None:
    found, asked = udp(lambda asked: [answer(asked, "200 OK" if asked.count else "100 Trying")])
    assert (found.status_code, len(asked)) == (200, 2)


def test_a_provisional_answer_alone_shows_a_server_that_does_not_answer() -> None:
    found, _ = udp(lambda asked: [answer(asked, "100 Trying")], within=SHORT)
    assert (found.reachable, found.status_code, found.error, found.latency_ms) == (True, 100, "timeout", None)


# -- Answers that are none -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forge",
    [
        lambda asked: answer(asked, "200 Forged", via=asked.header("Via").replace("z9hG4bK", "z9hG4bKx")),
        lambda asked: answer(asked, "200 Forged", call_id="other"),
        lambda asked: answer(asked, "200 Forged", cseq="2 OPTIONS"),
        lambda asked: answer(asked, "200 Forged", cseq="1 REGISTER"),
        lambda asked: answer(asked, "200 Forged", **{"from": "<sip:x>;tag=x"}),
        lambda asked: b"OPTIONS sip:you SIP/2.0\r\nContent-Length: 0\r\n\r\n",
        lambda asked: answer(asked, "200 Forged").replace(b"SIP/2.0 200", b"SIP/3.0 200"),
    ],
)
@pytest.mark.parametrize("over", [udp, tcp])
def test_what_is_no_answer_to_this_request_is_passed_over(over: Any, forge: Callable[[Asked], bytes]) -> None:
    found, _ = over(lambda asked: [forge(asked), answer(asked, "200 Mine")])
    assert (found.reason, found.error) == ("Mine", None)
    found, _ = over(lambda asked: [forge(asked)], within=SHORT)
    assert (found.reachable, found.status_code) == (False, None)
    assert found.error in ("timeout", "invalid_answer")


@pytest.mark.parametrize("noise", [b"\x00\xff" * 100, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"hello"])
def test_nonsense_over_udp_is_an_invalid_answer_when_nothing_better_comes(noise: bytes) -> None:
    assert udp(lambda asked: [noise], within=SHORT)[0].error == "invalid_answer"
    assert udp(lambda asked: [noise, answer(asked, "200 OK")])[0].status_code == 200


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"], "invalid_answer"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "invalid_answer"),
        ([b"SIP/2.0 200 OK\r\nContent-Length: x\r\n\r\n"], "invalid_answer"),
        ([b"SIP/2.0 200 OK\r\nContent-Length: 999999999\r\n\r\n"], "invalid_answer"),
        ([], "closed"),
        ([b"\r\n\r\n"], "closed"),
    ],
)
def test_nonsense_over_tcp_is_an_invalid_answer_and_none_at_all_is_a_closed_door(
    pieces: list[bytes], error: str
) -> None:
    assert tcp(lambda asked: pieces, hang_up=True)[0].error == error


@pytest.mark.parametrize("over", [udp, tcp])
def test_no_more_is_read_than_a_bound_allows(over: Any) -> None:
    flood = [b"x" * 1000] * (MOST_BYTES // 1000 + 60)
    assert over(lambda asked: flood)[0].error == "invalid_answer"  # long before the deadline


def test_an_answer_that_goes_on_for_ever_is_given_up() -> None:
    endless = [b"SIP/2.0 200 OK\r\n"] + [b"X-Filler: " + b"x" * 8000 + b"\r\n"] * 20
    assert tcp(lambda asked: endless)[0].error == "invalid_answer"


def test_what_a_server_calls_itself_is_one_short_line() -> None:
    found, _ = udp(lambda asked: [answer(asked, "200 a\x1b[31mb\x7f", "Server: <b>\x00" + "x" * 5000)])
    assert (found.reason, len(found.server or "")) == ("a [31mb", 200)
    assert (found.server or "").startswith("<b> xxx")


# -- TCP and TLS: a stream -----------------------------------------------------------------------


def test_an_answer_may_come_in_single_bytes() -> None:
    def drip(asked: Asked) -> list[bytes]:
        return [bytes([byte]) for byte in answer(asked, "200 OK")]

    assert tcp(drip)[0].status_code == 200


def test_several_answers_may_come_in_one_piece() -> None:
    found, _ = tcp(
        lambda asked: [
            b"\r\n\r\n" + answer(asked, "100 Trying", body="x" * 10) + answer(asked, "200 No", call_id="x")
            + answer(asked, "200 OK", body="sdp")
        ]
    )  # fmt: skip
    assert (found.status_code, found.reason) == (200, "OK")


def test_over_tcp_nothing_is_sent_twice() -> None:
    found, asked = tcp(lambda asked: [], within=1.7)
    assert (found.error, len(asked)) == ("timeout", 1)


def test_a_connection_that_closes_after_the_challenge_is_told_as_it_is() -> None:
    found, _ = tcp(lambda asked: [challenge(asked)], hang_up=True)
    assert (found.reachable, found.status_code, found.authenticated, found.error) == (True, 401, None, "closed")


def test_tls_is_spoken_with_a_trusted_certificate(tmp_path: Path) -> None:
    made = certify(tmp_path, "127.0.0.1")
    with stream_peer(lambda asked: [answer(asked, "200 OK")], certificate=made) as peer:
        found = ask_peer(peer.port, "tls", ca_file=str(made.authority))
    assert (found.status_code, found.error) == (200, None)
    assert "SIP/2.0/TLS" in peer.asked[0].header("Via")


# -- Credentials ---------------------------------------------------------------------------------


def test_a_challenge_is_answered_once_in_a_request_of_its_own() -> None:
    found, asked = udp(lambda asked: [answer(asked, "200 OK") if asked.count else challenge(asked)])
    first, second = asked
    assert (found.status_code, found.authenticated) == (200, True)
    assert not first.header("Authorization")
    assert given(second)["nonce"] == "n1"
    assert (given(second)["qop"], given(second)["nc"]) == ("auth", "00000001")
    assert second.header("CSeq") == "2 OPTIONS"
    for kept in ("Call-ID", "From"):
        assert first.header(kept) == second.header(kept)
    assert first.header("Via") != second.header("Via")


def test_the_strongest_of_several_challenges_is_answered() -> None:
    md5, sha = (
        'Digest realm="r", nonce="1", qop="auth", algorithm=MD5',
        'Digest realm="r", nonce="2", qop="auth", algorithm=SHA-256',
    )
    found, asked = udp(lambda asked: [answer(asked, "200 OK") if asked.count else challenge(asked, md5, sha)])
    assert found.authenticated is True
    assert (given(asked[1])["algorithm"], given(asked[1])["nonce"]) == ("SHA-256", "2")
    assert len(given(asked[1])["response"]) == 64


def test_a_proxy_is_answered_in_its_own_header() -> None:
    def script(asked: Asked) -> list[bytes]:
        if asked.header("Proxy-Authorization"):
            return [answer(asked, "200 OK")]
        return [answer(asked, "407 Proxy Authentication Required", 'Proxy-Authenticate: Digest realm="p", nonce="n"')]

    assert udp(script)[0].authenticated is True


def test_a_second_challenge_is_a_no() -> None:
    found, asked = udp(lambda asked: [challenge(asked, nonce=f"n{asked.count}")])
    assert (found.reachable, found.status_code, found.authenticated, len(asked)) == (True, 401, False, 2)


def test_a_nonce_that_is_too_old_is_renewed_once() -> None:
    def script(asked: Asked) -> list[bytes]:
        if asked.count == 2:
            return [answer(asked, "200 OK")]
        return [challenge(asked, nonce=f"n{asked.count}", more=", stale=true" if asked.count else "")]

    found, asked = udp(script)
    assert (found.authenticated, [given(one).get("nonce") for one in asked]) == (True, [None, "n0", "n1"])
    found, asked = udp(lambda asked: [challenge(asked, more=", stale=TRUE")])
    assert (found.authenticated, len(asked)) == (False, 3)


def test_late_repetitions_of_the_challenge_are_not_taken_for_the_answer() -> None:
    def script(asked: Asked) -> list[bytes]:
        if asked.header("Authorization"):
            return [first[0], first[0], answer(asked, "200 OK")]
        first.append(challenge(asked))
        return [first[0]]

    first: list[bytes] = []
    found, asked = udp(script)
    assert (found.authenticated, len(asked)) == (True, 2)


@pytest.mark.parametrize(
    ("status", "authenticated"),
    [("200 OK", True), ("404 Not Found", True), ("302 Moved Temporarily", True), ("403 Forbidden", False),
     ("503 Service Unavailable", None)],
)  # fmt: skip
def test_what_the_answer_says_of_the_credentials(status: str, authenticated: bool | None) -> None:
    found, _ = udp(lambda asked: [answer(asked, status) if asked.count else challenge(asked)])
    assert (found.reachable, found.authenticated) == (True, authenticated)


def test_a_challenge_that_cannot_be_answered_is_a_no() -> None:
    found, asked = udp(lambda asked: [challenge(asked, 'Digest realm="r", nonce="n", algorithm=MD5-sess')])
    assert (found.status_code, found.authenticated, len(asked)) == (401, False, 1)


def test_a_server_cannot_make_us_send_a_header_of_its_own() -> None:
    evil = 'Digest realm="r", nonce="x\rEvil: yes", qop="auth"'
    found, asked = udp(lambda asked: [challenge(asked, evil)])
    assert (found.reachable, found.error, len(asked)) == (True, "invalid_answer", 1)


def test_nothing_is_followed() -> None:
    with udp_peer(lambda asked: [answer(asked, "200 OK")]) as other:
        there = f"<sip:127.0.0.1:{other.port};lr>"
        found, asked = udp(lambda asked: [answer(asked, "302 Moved", f"Contact: {there}", f"Record-Route: {there}")])
    assert (found.status_code, len(asked), other.asked) == (302, 1, [])
