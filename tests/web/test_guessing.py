"""Guessing is slowed: passwords of the admin, and tokens; by the client's address also where a proxy is in between."""

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client, RequestFactory

from calls.web.addresses import client_address
from phonegoggles.settings import ip_network
from tests.build import sign_in

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
TOKENS = "/call-history/+12025550123/"
PROXY, ATTACKER, ANOTHER = "10.0.0.1", "198.51.100.7", "198.51.100.8"
RIGHT = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _fresh_counts() -> Any:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def behind_a_proxy(settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/29"), ip_network("fd00::/64")]


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password=RIGHT, is_staff=True)


def try_password(password: str, *, name: str = "ada", peer: str = ATTACKER, forwarded: str = "") -> int:
    """Return the status of the answer to a sign-in: 302 for success, 200 for a wrong password, 429."""
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return (
        Client(headers=headers)
        .post(LOGIN, {"username": name, "password": password, "next": "/admin/"}, REMOTE_ADDR=peer)
        .status_code
    )


def try_token(*, peer: str = ATTACKER, forwarded: str = "") -> int:
    headers = {"Authorization": "Token wrong"} | ({"X-Forwarded-For": forwarded} if forwarded else {})
    return Client(headers=headers).get(TOKENS, REMOTE_ADDR=peer).status_code


# -- Whose address counts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        # Nobody but a proxy of ours is believed.
        (ATTACKER, "", ATTACKER),
        (ATTACKER, "203.0.113.9", ATTACKER),
        # The proxy says who it was.
        (PROXY, ATTACKER, ATTACKER),
        (PROXY, f" {ATTACKER} ", ATTACKER),
        # What the client itself wrote stands before what the proxy added.
        (PROXY, f"203.0.113.9, {ATTACKER}", ATTACKER),
        (PROXY, f"10.0.0.2, 10.0.0.3, {ATTACKER}", ATTACKER),
        (PROXY, f"unknown, {ATTACKER}", ATTACKER),
        # Two proxies in a row.
        (PROXY, f"203.0.113.9, {ATTACKER}, 10.0.0.2", ATTACKER),
        # No proxy of ours writes nonsense: whoever stands before it is not believed.
        (PROXY, f"{ATTACKER}, nonsense", PROXY),
        (PROXY, "", PROXY),
        (PROXY, ",".join(["10.0.0.2"] * 500), "10.0.0.2"),
        # Spellings.
        (PROXY, f"{ATTACKER}:5060", ATTACKER),
        ("::ffff:10.0.0.1", f"::ffff:{ATTACKER}", ATTACKER),
        ("fd00::1", ATTACKER, ATTACKER),
        # All addresses of one IPv6 network are one guesser.
        ("2001:db8:1:2::1", "", "2001:db8:1:2::"),
        (PROXY, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (PROXY, "[2001:db8:1:2::7]:5060", "2001:db8:1:2::"),
        # A Unix domain socket has no address, and is not among the proxies here.
        ("", ATTACKER, None),
    ],
)
@pytest.mark.usefixtures("behind_a_proxy")
def test_the_address_that_counts_is_the_nearest_that_is_no_proxy_of_ours(
    peer: str, forwarded: str, counted: str | None
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers)) == counted


def test_without_the_setting_nobody_is_believed() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="127.0.0.1", headers={"X-Forwarded-For": ATTACKER})
    assert client_address(request) == "127.0.0.1"


def test_a_proxy_on_a_unix_domain_socket_can_be_trusted_too(settings: Any) -> None:
    settings.TRUSTED_PROXIES = ["unix"]
    request = RequestFactory().get("/", REMOTE_ADDR="", headers={"X-Forwarded-For": f"203.0.113.9, {ATTACKER}"})
    assert client_address(request) == ATTACKER


# -- Passwords ---------------------------------------------------------------------------------


def test_ten_wrong_passwords_close_a_name_for_an_address_even_for_the_right_one(ada: User) -> None:
    answers = [try_password(f"guess {number}") for number in range(10)]
    assert set(answers[:9]) == {200}
    assert try_password(RIGHT) == 429
    assert try_password(RIGHT, peer=ANOTHER) == 302


def test_a_right_password_ends_the_counting(ada: User) -> None:
    for _ in range(3):
        assert {try_password("wrong") for _ in range(5)} == {200}
        assert try_password(RIGHT) == 302


@pytest.mark.usefixtures("behind_a_proxy")
def test_behind_a_proxy_one_guesser_locks_out_nobody_else(ada: User) -> None:
    for number in range(10):
        try_password(f"guess {number}", peer=PROXY, forwarded=ATTACKER)
    assert try_password(RIGHT, peer=PROXY, forwarded=ATTACKER) == 429
    assert try_password(RIGHT, peer=PROXY, forwarded=ANOTHER) == 302
    assert {attempt.ip_address for attempt in AccessAttempt.objects.all()} == {ATTACKER}


@pytest.mark.usefixtures("behind_a_proxy")
def test_a_made_up_address_evades_no_lock(ada: User) -> None:
    for number in range(10):
        try_password(f"guess {number}", peer=PROXY, forwarded=f"203.0.113.{number}, {ATTACKER}")
    assert try_password(RIGHT, peer=PROXY, forwarded=f"192.0.2.1, {ATTACKER}") == 429
    for number in range(10):
        try_password(f"guess {number}", peer=ANOTHER, forwarded=f"203.0.113.{number}")
    assert try_password(RIGHT, peer=ANOTHER, forwarded="192.0.2.1") == 429


def test_one_address_tries_many_names_only_so_often(ada: User, settings: Any) -> None:
    settings.THROTTLE_FAILED_AUTH = "5/minute"
    assert [try_password("Spring2024!", name=f"user-{number}") for number in range(6)] == [200] * 5 + [429]
    assert try_password(RIGHT) == 429
    assert try_password(RIGHT, peer=ANOTHER) == 302


# -- Tokens ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("behind_a_proxy")
def test_wrong_tokens_are_counted_by_client_behind_a_proxy(settings: Any) -> None:
    settings.THROTTLE_FAILED_AUTH = "3/minute"
    assert [try_token(peer=PROXY, forwarded=ATTACKER) for _ in range(4)] == [401, 401, 401, 429]
    assert try_token(peer=PROXY, forwarded=ANOTHER) == 401
    assert sign_in("Analysts").get(TOKENS, REMOTE_ADDR=PROXY, headers={"X-Forwarded-For": ATTACKER}).status_code == 404


@pytest.mark.usefixtures("behind_a_proxy")
def test_a_made_up_address_evades_no_counting_of_tokens(settings: Any) -> None:
    settings.THROTTLE_FAILED_AUTH = "3/minute"
    forged = [f"203.0.113.{number}, {ATTACKER}" for number in range(4)]
    assert [try_token(peer=PROXY, forwarded=header) for header in forged] == [401, 401, 401, 429]
    assert [try_token(peer=ANOTHER, forwarded=f"203.0.113.{number}") for number in range(4)] == [401, 401, 401, 429]
