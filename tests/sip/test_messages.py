"""What strangers say is a response or Malformed, whatever the bytes are; and nothing is smuggled into what we say."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calls.sip.digest import answer, choose, read_challenge
from calls.sip.messages import (
    Malformed,
    Question,
    Unsendable,
    length_of_first,
    read_response,
    user_in_uri,
    write_request,
)

OURS = Question(call_id="call", tag="tag", branch="z9hG4bKours", number=1)
GOOD = (
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours;rport=5060\r\n"
    'From: "me" <sip:me@x>;tag=tag\r\nTo: <sip:x>;tag=theirs\r\nCall-ID: call\r\nCSeq: 1 OPTIONS\r\n'
    "Server: test\r\nContent-Length: 0\r\n\r\n"
)
# Bits that SIP is made of, put together in ways that it is not.
BITS = st.sampled_from(
    ["SIP/2.0", " ", "200", "OK", "\r\n", "\n", "\r", "Via", ":", ";", "branch=", "z9hG4bK", ",", '"', "\\", "<", ">",
     "Content-Length", "l", "-1", "99999999999999999999", "Digest ", "realm=", "nonce=", "\t", "\x00", "é", "=", "１"]
)  # fmt: skip
NOISE = st.one_of(st.binary(max_size=400), st.lists(BITS, max_size=60).map(lambda bits: "".join(bits).encode()))


@given(NOISE)
@example(b"")
@example(b"SIP/2.0 200\r\n\r\n")
@example(b"SIP/2.0 200 OK\r\nContent-Length: \xef\xbc\x91\r\n\r\n")
def test_reading_gives_a_response_or_malformed_and_nothing_else(noise: bytes) -> None:
    for message in (noise, b"SIP/2.0 401 No\r\n" + noise, GOOD.encode()[:-2] + noise):
        try:
            response = read_response(message)
        except Malformed:
            pass
        else:
            assert 100 <= response.status < 700
            assert not re.search(r"[\x00-\x1f\x7f]", response.reason + response.server)
            assert len(response.reason) <= 200
            OURS.is_answered_by(response)
            for value in response.every("www-authenticate"):
                read_challenge(value)
        try:
            length = length_of_first(message)
        except Malformed:
            pass
        else:
            assert length is None or length > 0


@given(st.text(max_size=200), st.text(max_size=50))
def test_reading_a_challenge_raises_nothing(text: str, more: str) -> None:
    for value in (text, f"Digest {text}", f'Digest realm="{text}", nonce="{more}", algorithm={text}, qop="{more}"'):
        challenge = choose([value])
        if challenge:
            answer(challenge, username=text, password=more, method="OPTIONS", uri="sip:x")


@given(st.text(max_size=50), st.sampled_from(["\r", "\n", "\r\n", "\x00", "\x7f", "\x85", "\u2028"]))
def test_no_value_can_begin_another_header(text: str, ending: str) -> None:
    with pytest.raises(Unsendable):
        write_request("OPTIONS", "sip:x", [("To", f"{text}{ending}Evil: yes")])
    with pytest.raises(Unsendable):
        write_request("OPTIONS", f"sip:{text}{ending}", [])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_user_in_a_uri_is_plain_ascii_without_delimiters(user: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/%]*", user_in_uri(user))


def test_a_request_without_a_body_ends_where_it_says() -> None:
    written = write_request("OPTIONS", "sip:x", [("To", "<sip:x>")])
    assert written == b"OPTIONS sip:x SIP/2.0\r\nTo: <sip:x>\r\nContent-Length: 0\r\n\r\n"


# -- Whose answer it is -------------------------------------------------------------------------


def test_the_answer_to_our_request_is_known_in_every_spelling() -> None:
    for text in (
        GOOD,
        GOOD.replace("Via:", "v:")
        .replace("Call-ID:", "i :")
        .replace("From:", "f:")
        .replace("SIP/2.0 200", "sip/2.0 200"),
        GOOD.replace(";branch", " ;\r\n branch"),
        GOOD.replace("\r\n", "\n"),
        "\r\n\r\n" + GOOD,
        GOOD.replace(" OK", ""),
        GOOD + "body",
    ):
        assert OURS.is_answered_by(read_response(text.encode())), text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("z9hG4bKours", "z9hG4bKtheirs"),
        ("z9hG4bKours", "Z9HG4BKOURS"),
        ("branch=z9hG4bKours", "x=1"),
        ("branch=z9hG4bKours", "branch=z9hG4bKtheirs;branch=z9hG4bKours"),
        ("Call-ID: call", "Call-ID: other"),
        ("Call-ID: call", "Call-ID: call\r\nCall-ID: call"),
        ("Call-ID: call\r\n", ""),
        ("CSeq: 1", "CSeq: 2"),
        ("1 OPTIONS", "1 INVITE"),
        ("1 OPTIONS", "OPTIONS"),
        (";tag=tag", ";tag=other"),
        (";tag=tag", ""),
        ("\r\nFrom", ", SIP/2.0/UDP other;branch=z9hG4bKx\r\nFrom"),
        ("\r\nFrom", "\r\nVia: SIP/2.0/UDP other;branch=z9hG4bKx\r\nFrom"),
        ("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours;rport=5060\r\n", ""),
    ],
)
def test_any_other_answer_is_not_ours(old: str, new: str) -> None:
    assert old in GOOD
    assert not OURS.is_answered_by(read_response(GOOD.replace(old, new, 1).encode()))


# -- Streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "length"),
    [
        ("", None),
        (GOOD[:-1], None),
        (GOOD, len(GOOD)),
        (GOOD + "next", len(GOOD)),
        (GOOD.replace("Content-Length: 0", "l: 4"), len(GOOD) - len("Content-Length: 0") + len("l: 4") + 4),
        (GOOD.replace("Content-Length: 0\r\n", ""), len(GOOD) - len("Content-Length: 0\r\n")),
    ],
)
def test_content_length_says_where_a_message_ends(stream: str, length: int | None) -> None:
    assert length_of_first(stream.encode()) == length


@pytest.mark.parametrize("said", ["-1", "x", "", "1e3", "0x10", "１", "0\r\nContent-Length: 5", "9999999999"])
def test_a_length_that_is_none_is_malformed(said: str) -> None:
    with pytest.raises(Malformed):
        length_of_first(GOOD.replace("Content-Length: 0", f"Content-Length: {said}").encode())


# -- Digest authentication ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_come_out_as_they_stand_there(algorithm: str, response: str) -> None:
    challenge = choose(
        [
            f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm},'
            ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",'
            ' opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        ]
    )
    assert challenge
    given_back = answer(
        challenge,
        username="Mufasa",
        password="Circle of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert f'response="{response}"' in given_back
    assert "qop=auth, nc=00000001, cnonce=" in given_back
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in given_back


def test_the_older_form_without_qop_is_answered_too() -> None:
    # RFC 2617, section 3.5, without its qop: HA1 and HA2 are the same, and between them is the nonce alone.
    challenge = choose(['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'])
    assert challenge
    given_back = answer(challenge, username="Mufasa", password="Circle Of Life", method="GET", uri="/dir/index.html")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in given_back
    assert "qop" not in given_back
    assert "cnonce" not in given_back


def test_the_strongest_challenge_is_taken_whatever_their_order() -> None:
    weak, strong = 'Digest realm="r", nonce="1", qop="auth"', 'Digest realm="r", nonce="2", qop=auth, algorithm=SHA-256'
    for offered in ([weak, strong], [strong, weak]):
        chosen = choose(offered)
        assert chosen
        assert (chosen.algorithm, chosen.nonce) == ("SHA-256", "2")
    only = choose([weak])
    assert only
    assert only.algorithm == "MD5"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic realm=r",
        "Digest",
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r", nonce=""',
        'Digest realm="r", nonce="n", algorithm=MD5-sess',
        'Digest realm="r", nonce="n", algorithm=AKAv1-MD5',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r", nonce="n", nonce="m"',
        'Digest realm="r", nonce="n',
        'Digest realm="' + "r" * 5000 + '", nonce="n"',
    ],
)
def test_what_we_cannot_answer_is_left_alone(value: str) -> None:
    assert choose([value]) is None
