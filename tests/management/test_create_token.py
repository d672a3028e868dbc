"""`manage.py create_token` hands out a key once and keeps only its hash."""

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from knox.crypto import hash_token

from calls.models import AccessToken
from calls.operations import tokens
from calls.operations.tokens import create_token, revoke_tokens
from tests.build import report

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("create_token", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_stdout_is_the_key_alone_and_stderr_one_line(ada: User) -> None:
    out, err = run("ada")
    assert re.fullmatch(r"[0-9a-f]{64}\n", out)
    assert "shown once" in err
    assert err.count("\n") == 1
    assert out.strip() not in err


def test_only_the_hash_of_the_key_is_stored(ada: User) -> None:
    key = run("ada")[0].strip()
    token = AccessToken.objects.get()
    assert token.digest == hash_token(key)
    assert not [value for value in AccessToken.objects.values().get().values() if key in str(value)]


def test_a_token_has_no_time_limit_unless_asked_for(ada: User) -> None:
    assert "has no time limit" in run("ada")[1]
    assert AccessToken.objects.get().expiry is None


def test_expires_in_sets_the_end(ada: User) -> None:
    _, err = run("ada", "--expires-in", "30")
    expiry = AccessToken.objects.get().expiry
    assert abs(expiry - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    assert f"ends on {expiry:%Y-%m-%d}" in err


@pytest.mark.parametrize("days", ["0", "-1", "soon", "99999999999", "1.5"])
def test_an_impossible_number_of_days_is_refused(ada: User, days: str) -> None:
    with pytest.raises(CommandError, match="--expires-in"):
        run("ada", f"--expires-in={days}")


def test_an_unknown_user_is_refused_and_createsuperuser_named() -> None:
    with pytest.raises(CommandError, match=r"no user 'nobody'.*createsuperuser.*--create"):
        run("nobody")
    assert not AccessToken.objects.exists()


def test_a_closed_account_gets_no_token(ada: User) -> None:
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="not active"):
        run("ada", "--create")
    assert not AccessToken.objects.exists()


def test_create_makes_a_user_who_has_no_password_and_is_no_staff() -> None:
    _, err = run("pbx", "--create", "--group", "Telephony systems")
    user = User.objects.get()
    assert not user.has_usable_password()
    assert not user.is_staff
    assert not user.is_superuser
    assert [group.name for group in user.groups.all()] == ["Telephony systems"]
    assert "new user pbx" in err


def test_create_keeps_a_user_that_exists(ada: User) -> None:
    ada.set_password("a password")
    ada.save()
    run("ada", "--create")
    assert User.objects.get().has_usable_password()


def test_an_impossible_user_name_is_refused() -> None:
    with pytest.raises(CommandError, match="valid username"):
        run("not a name", "--create")
    assert not User.objects.exists()


def test_an_unknown_group_is_refused_listing_those_there_are_and_nothing_is_made() -> None:
    with pytest.raises(CommandError, match=r"no group 'Phones'.*'Analysts', 'Operators', 'Telephony systems'"):
        run("pbx", "--create", "--group", "Phones")
    assert not User.objects.exists()
    assert not AccessToken.objects.exists()


def test_a_name_that_is_too_long_is_refused(ada: User) -> None:
    with pytest.raises(CommandError, match="at most 100 characters"):
        run("ada", "--name", "x" * 101)


def test_without_replace_a_user_may_have_several_tokens_of_a_name(ada: User) -> None:
    run("ada", "--name", "script")
    run("ada", "--name", "script")
    assert AccessToken.objects.count() == 2


def test_replace_revokes_only_this_users_tokens_of_the_same_name(ada: User) -> None:
    grace = User.objects.create_user("grace")
    create_token("grace", name="script")
    run("ada", "--name", "other")
    run("ada", "--name", "script")
    run("ada", "--name", "script")
    _, err = run("ada", "--name", "script", "--replace")
    assert "replaces 2" in err
    assert sorted(token.name for token in AccessToken.objects.filter(user=ada)) == ["other", "script"]
    assert AccessToken.objects.filter(user=grace).count() == 1


def test_a_replacement_that_fails_revokes_nothing(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create_token("ada", name="script")

    def fail(**values: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(tokens.AccessToken.objects, "create", fail)
    with pytest.raises(RuntimeError):
        create_token("ada", name="script", group="Analysts", replace=True)
    assert AccessToken.objects.get() == first.token
    assert not ada.groups.exists()


def test_revoke_says_how_many_there_were(ada: User) -> None:
    create_token("ada", name="script")
    assert revoke_tokens(ada, name="script") == 1
    assert revoke_tokens(ada, name="script") == 0


def test_a_user_without_rights_is_warned_about(ada: User) -> None:
    assert "may do nothing yet" in run("ada")[1]
    ada.groups.add(Group.objects.get(name="Analysts"))
    assert "may do nothing yet" not in run("ada")[1]


def test_a_telephony_systems_key_reports_events_until_it_is_replaced() -> None:
    old = run("pbx", "--create", "--group", "Telephony systems")[0].strip()
    new = run("pbx", "--replace")[0].strip()
    answers = [
        Client(headers={"Authorization": f"Token {key}"}).post(
            "/process-events/", report(), content_type="application/json"
        )
        for key in (old, new)
    ]
    assert [answer.status_code for answer in answers] == [401, 200]
