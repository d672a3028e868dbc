"""Making and revoking access tokens."""

from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.models import Group, User
from django.db import transaction

from calls.models import AccessToken


class UnknownUser(LookupError):
    """There is no such user."""


class ClosedAccount(Exception):
    """The user is not active, so that every token of theirs would be refused."""


class UnknownGroup(LookupError):
    """There is no such group; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made. Its key is kept nowhere else, so this is the only chance to pass it on."""

    token: AccessToken
    key: str
    user_created: bool
    revoked: int


def create_token(
    username: str,
    *,
    name: str = "",
    lifetime: timedelta | None = None,
    group: str | None = None,
    replace: bool = False,
    create_user: bool = False,
) -> NewToken:
    """Make a token for a user, all or nothing.

    `group` adds the user to a group; `replace` revokes the user's earlier tokens of the same
    name; `create_user` makes a missing user, who has no password and so can only use tokens.
    Raises UnknownUser, ClosedAccount, UnknownGroup, or Django's ValidationError for an impossible name.
    """
    AccessToken._meta.get_field("name").clean(name, None)
    with transaction.atomic():
        user, user_created = _find_user(username, create=create_user)
        if group is not None:
            user.groups.add(_find_group(group))
        revoked = revoke_tokens(user, name=name) if replace else 0
        token, key = AccessToken.objects.create(user=user, name=name, expiry=lifetime)
    return NewToken(token, key, user_created, revoked)


def revoke_tokens(user: User, *, name: str) -> int:
    """Revoke a user's tokens of a name and return how many there were."""
    revoked, _ = AccessToken.objects.filter(user=user, name=name).delete()
    return int(revoked)


def _find_user(username: str, *, create: bool) -> tuple[User, bool]:
    # Locked, so that of two replacements at once the second revokes the first one's token.
    users = User.objects.select_for_update()
    user = users.filter(username=username).first()
    if user is not None:
        if not user.is_active:
            raise ClosedAccount(f"The account of {username!r} is not active, so its tokens would be refused.")
        return user, False
    if not create:
        raise UnknownUser(f"There is no user {username!r}.")
    User(username=username).full_clean(exclude=["password"])
    return User.objects.create_user(username), True


def _find_group(name: str) -> Group:
    group = Group.objects.filter(name=name).first()
    if group is None:
        names = ", ".join(repr(known) for known in Group.objects.order_by("name").values_list("name", flat=True))
        raise UnknownGroup(f"There is no group {name!r}. There are: {names or 'none (run manage.py migrate)'}.")
    return group
