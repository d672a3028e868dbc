"""Tokens, people and groups in the admin."""

import re
from datetime import timedelta
from html import unescape
from secrets import token_hex
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.core import serializers
from django.test import Client
from django.utils import timezone
from knox.crypto import hash_token

from calls.models import AccessToken
from tests.admin.pages import TOKENS, make_staff, rows_of, text_of, visit

pytestmark = pytest.mark.django_db

USERS = "/admin/auth/user/"


def make_token(browser: Client, owner: User, **values: Any) -> Any:
    form = {"user": owner.pk, "name": "PBX", "expiry_0": "", "expiry_1": "", **values}
    return browser.post(f"{TOKENS}add/", form)


def shown_key(html: str) -> str:
    found = re.search(r"id=['\"]shown-once['\"][^>]*>([^<]+)<", html)
    return unescape(found[1]) if found else ""


def everything_stored() -> str:
    """Return all rows of the tables that could hold a key, as text."""
    rows: list[Any] = [*AccessToken.objects.all(), *Session.objects.all()]
    decoded = [str(session.get_decoded()) for session in Session.objects.all()]
    return serializers.serialize("json", rows) + "".join(decoded)


def test_a_new_key_is_shown_once_and_stored_nowhere():
    browser = visit()
    owner = User.objects.create_user("pbx")
    response = make_token(browser, owner)
    assert response.status_code == 302
    assert response["Location"] == TOKENS
    token = AccessToken.objects.get()
    key = shown_key(browser.get(TOKENS).content.decode())
    assert token.digest == hash_token(key)
    assert (token.user, token.name, token.expiry) == (owner, "PBX", None)
    assert key not in everything_stored()
    for address in (
        TOKENS,
        f"{TOKENS}{token.pk}/change/",
        f"{TOKENS}{token.pk}/delete/",
        f"{TOKENS}{token.pk}/history/",
    ):
        assert key not in browser.get(address).content.decode()


def test_a_key_is_not_even_stored_when_many_messages_wait():
    browser = visit()
    owner = User.objects.create_user("pbx")
    for _ in range(20):
        # Names without any pattern, since the cookie in which messages wait is compressed.
        make_token(browser, owner, name=token_hex(50))
        assert not any(session.get_decoded().get("_messages") for session in Session.objects.all())
    assert shown_key(browser.get(TOKENS).content.decode())


def test_the_new_key_opens_the_api(client: Client):
    browser = visit()
    owner = User.objects.create_user("pbx")
    owner.groups.add(Group.objects.get(name="Telephony systems"))
    make_token(browser, owner)
    key = shown_key(browser.get(TOKENS).content.decode())
    headers = {"Authorization": f"Token {key}"}
    body: dict[str, str] = {}
    assert client.post("/process-events/", body, "application/json", headers=headers).status_code == 400
    AccessToken.objects.all().delete()
    assert client.post("/process-events/", body, "application/json", headers=headers).status_code == 401


def test_neither_hash_nor_beginning_of_a_key_is_shown():
    token, key = AccessToken.objects.create(user=User.objects.create_user("pbx"), name="PBX")
    browser = visit()
    for address in (TOKENS, f"{TOKENS}{token.pk}/change/"):
        html = browser.get(address).content.decode()
        assert token.token_key not in html
        assert token.digest not in text_of(html)
        assert key not in html


def test_the_list_shows_whose_token_it_is_and_whether_it_works():
    owner = User.objects.create_user("pbx")
    token, _ = AccessToken.objects.create(user=owner, name="Old", expiry=timedelta(seconds=-1))
    AccessToken.objects.filter(pk=token.pk).update(last_used_on="2024-04-01")
    (row,) = rows_of(visit().get(TOKENS))
    assert row[1:3] == ["Old", "pbx"]
    assert row[4] == "2024-04-01"
    assert row[5].endswith("expired")


def test_an_expiry_is_kept_exactly_and_must_lie_ahead():
    browser = visit()
    owner = User.objects.create_user("pbx")
    day = (timezone.now() + timedelta(days=30)).date()
    make_token(browser, owner, expiry_0=day.isoformat(), expiry_1="10:30:00")
    assert f"{AccessToken.objects.get().expiry:%Y-%m-%d %H:%M:%S.%f}" == f"{day} 10:30:00.000000"
    response = make_token(browser, owner, expiry_0="2020-01-01", expiry_1="00:00")
    assert "This time is over already." in response.content.decode()
    assert AccessToken.objects.count() == 1


def test_name_and_expiry_can_be_changed_and_the_owner_not():
    owner, other = User.objects.create_user("pbx"), User.objects.create_user("other")
    token, key = AccessToken.objects.create(user=owner, name="Old")
    form = {
        "name": "New",
        "expiry_0": "2020-01-01",
        "expiry_1": "00:00",
        "user": other.pk,
        "digest": "0",
        "token_key": "0",
    }
    assert visit().post(f"{TOKENS}{token.pk}/change/", form).status_code == 302
    token.refresh_from_db()
    assert (token.name, token.user, token.digest) == ("New", owner, hash_token(key))
    assert token.expired


def test_a_token_is_revoked_by_deleting_it():
    token, _ = AccessToken.objects.create(user=User.objects.create_user("pbx"), name="PBX")
    browser = visit()
    assert browser.post(f"{TOKENS}{token.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not AccessToken.objects.exists()


def test_nobody_can_make_a_token_with_more_rights_than_their_own():
    maker = make_staff("add_accesstoken", "view_accesstoken", "view_user")
    boss, peer = User.objects.create_superuser("boss"), User.objects.create_user("peer")
    browser = visit(maker)
    response = make_token(browser, boss)
    assert "This user has rights that you do not have yourself." in response.content.decode()
    assert not AccessToken.objects.exists()
    assert make_token(browser, peer).status_code == 302
    assert AccessToken.objects.get().user == peer


def test_analysts_see_no_tokens():
    assert visit(make_staff(group="Analysts")).get(TOKENS).status_code == 403


# -- People --------------------------------------------------------------------------------------


def save_user(browser: Client, user: User, **values: Any) -> Any:
    joined = user.date_joined
    form = {
        "username": user.username,
        "date_joined_0": f"{joined:%Y-%m-%d}",
        "date_joined_1": f"{joined:%H:%M:%S}",
        "is_active": "on",
        **values,
    }
    return browser.post(f"{USERS}{user.pk}/change/", form)


@pytest.mark.parametrize(("group", "staff"), [("Analysts", True), ("Operators", True), ("Telephony systems", False)])
def test_joining_a_group_that_works_in_the_admin_lets_into_it(group: str, staff: bool):
    user = User.objects.create_user("ann")
    assert save_user(visit(), user, groups=[Group.objects.get(name=group).pk]).status_code == 302
    user.refresh_from_db()
    assert [one.name for one in user.groups.all()] == [group]
    assert user.is_staff is staff
    assert visit(user).get("/admin/").status_code == (200 if staff else 302)


def test_a_new_user_can_be_made():
    form = {
        "username": "new",
        "password1": "correct horse 9",
        "password2": "correct horse 9",
        "usable_password": "true",
    }
    assert visit().post(f"{USERS}add/", form).status_code == 302
    assert User.objects.get(username="new").check_password("correct horse 9")


def test_only_a_superuser_gives_rights_or_touches_a_superuser():
    manager = make_staff("change_user", "view_user", "delete_user")
    boss, ann = User.objects.create_superuser("boss"), User.objects.create_user("ann")
    browser = visit(manager)
    assert save_user(browser, boss).status_code == 403
    assert browser.post(f"{USERS}{boss.pk}/password/", {}).status_code == 403
    assert browser.post(f"{USERS}{boss.pk}/delete/", {"post": "yes"}).status_code == 403
    right = Permission.objects.get(codename="delete_user")
    assert save_user(browser, ann, is_superuser="on", user_permissions=[right.pk]).status_code == 302
    ann.refresh_from_db()
    assert not ann.is_superuser
    assert not ann.user_permissions.exists()


def test_users_groups_and_wrong_passwords_can_be_looked_at(client: Client):
    client.post("/admin/login/", {"username": "mallory", "password": "wrong"})
    browser = visit()
    for address in (USERS, "/admin/auth/group/", f"/admin/auth/group/{Group.objects.first().pk}/change/"):
        assert browser.get(address).status_code == 200
    attempts = "/admin/axes/accessattempt/"
    assert rows_of(browser.get(attempts))[0][0] == "mallory"
    attempt = AccessAttempt.objects.get()
    assert "wrong" not in browser.get(f"{attempts}{attempt.pk}/change/").content.decode()
    assert browser.post(f"{attempts}{attempt.pk}/delete/", {"post": "yes"}).status_code == 403
