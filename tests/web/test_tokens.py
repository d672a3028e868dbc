"""Tokens: who is let in, what is kept of them, and how guessing is slowed."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from calls.models import AccessToken
from calls.operations.tokens import revoke_tokens
from calls.web import callers
from tests.build import report, sign_in

pytestmark = pytest.mark.django_db
URL = "/call-history/+1234567890/"


def make(user: User | None = None, **values: Any) -> tuple[AccessToken, str]:
    owner = user or User.objects.create_superuser(f"owner-{User.objects.count()}")
    token, key = AccessToken.objects.create(user=owner, name="test", **values)
    return token, key


def ask(key: str, scheme: str = "Token") -> int:
    return int(Client(headers={"Authorization": f"{scheme} {key}"}).get(URL).status_code)


def test_a_token_has_no_time_limit_unless_it_is_given_one() -> None:
    token, key = make()
    assert token.expiry is None
    assert ask(key) == 404
    _, expired = make(expiry=timedelta(seconds=-1))
    assert ask(expired) == 401
    _, lasting = make(expiry=timedelta(days=1))
    assert ask(lasting) == 404


def test_one_user_may_have_several_tokens() -> None:
    user = User.objects.create_superuser("rotating")
    keys = [make(user)[1] for _ in range(2)]
    assert [ask(key) for key in keys] == [404, 404]
    AccessToken.objects.first().delete()  # type: ignore[union-attr]
    assert sorted(ask(key) for key in keys) == [401, 404]


def test_a_revoked_token_and_one_of_a_blocked_user_are_refused_at_once() -> None:
    token, key = make()
    assert ask(key) == 404
    token.user.is_active = False
    token.user.save()
    assert ask(key) == 401
    token.user.is_active = True
    token.user.save()
    assert ask(key) == 404
    token.delete()
    assert ask(key) == 401


@pytest.mark.parametrize(
    "take_away",
    [
        lambda token: AccessToken.objects.filter(pk=token.pk).delete(),
        lambda token: AccessToken.objects.update(expiry=timezone.now()),
        lambda token: token.user.delete(),
        lambda token: token.user.groups.clear(),
        lambda token: Group.objects.all().delete(),
        lambda token: Group.objects.get(name="Analysts").permissions.clear(),
        lambda token: revoke_tokens(token.user, name="test"),
    ],
)
def test_whatever_takes_a_right_away_in_this_process_counts_at_once(take_away: Any) -> None:
    user = User.objects.create_user("analyst")
    user.groups.add(Group.objects.get(name="Analysts"))
    token, key = make(user)
    assert ask(key) == 404
    take_away(token)
    assert ask(key) in (401, 403)


def test_what_another_process_revokes_counts_when_the_memory_is_over(settings: Any) -> None:
    _, key = make()
    assert ask(key) == 404
    with connection.cursor() as cursor:  # past everything of ours, as another process would
        cursor.execute("DELETE FROM calls_accesstoken")
    assert ask(key) == 404
    settings.TOKEN_CACHE_SECONDS = 0
    callers._callers.clear()
    assert ask(key) == 401


def test_a_remembered_token_ends_at_its_expiry(monkeypatch: Any) -> None:
    _, key = make(expiry=timedelta(seconds=3))
    assert ask(key) == 404
    later = timezone.now() + timedelta(seconds=4)
    monkeypatch.setattr(callers.timezone, "now", lambda: later)
    assert ask(key) == 401


def test_without_memory_every_request_asks_for_the_token(settings: Any, django_assert_num_queries: Any) -> None:
    settings.TOKEN_CACHE_SECONDS = 0
    _, key = make()
    ask(key)
    with django_assert_num_queries(4):  # the token, the history, and whether the number was ever seen
        ask(key)


def test_the_scheme_may_be_written_small() -> None:
    assert ask(make()[1], "token") == 404
    assert ask(make()[1], "Bearer") == 401


def test_the_day_of_the_last_use_is_noted_once_a_day(django_assert_num_queries: Any) -> None:
    token, key = make()
    assert token.last_used_on is None
    ask(key)
    token.refresh_from_db()
    assert token.last_used_on == timezone.now().date()
    # The history, by the short cut and by the view, and whether the number was ever seen.
    with django_assert_num_queries(4):
        ask(key)


def test_only_the_hash_of_a_key_is_kept() -> None:
    token, key = make()
    stored = [str(value) for value in AccessToken.objects.values_list()[0]]
    assert not any(key in value for value in stored)
    assert token.digest != key
    assert len(key) >= 64


@pytest.fixture
def _fresh_counts() -> Any:
    cache.clear()
    yield
    cache.clear()


@pytest.mark.usefixtures("_fresh_counts")
def test_wrong_tokens_are_slowed_down_but_right_ones_always_pass(settings: Any) -> None:
    settings.THROTTLE_FAILED_AUTH = "3/minute"
    _, key = make()
    assert [ask("wrong") for _ in range(4)] == [401, 401, 401, 429]
    answer = Client(headers={"Authorization": "Token wrong"}).get(URL)
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert ask(key) == 404


@pytest.mark.usefixtures("_fresh_counts")
def test_reads_are_bounded_per_token_if_the_operator_says_so_and_reports_never(settings: Any) -> None:
    settings.THROTTLE_READS = "2/minute"
    first, second = make()[1], make()[1]
    assert [ask(first) for _ in range(3)] == [404, 404, 429]
    assert ask(second) == 404
    system = sign_in("Telephony systems")
    codes = [system.post("/process-events/", report(), content_type="application/json").status_code for _ in range(9)]
    assert codes == [200] * 9


def test_nothing_is_bounded_unless_set() -> None:
    _, key = make()
    assert {ask(key) for _ in range(50)} == {404}
