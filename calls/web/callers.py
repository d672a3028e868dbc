"""Whose token is this? Asked of the database once in a while, and remembered for some seconds between.

Looking a token up, its owner and the owner's rights, costs more than recording an event does. What
is revoked, expired, blocked or moved to other groups in this process counts at once; what another
process does counts when the memory is over (setting TOKEN_CACHE_SECONDS, 0 for none).
"""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from time import monotonic

from django.conf import settings
from django.utils import timezone
from knox.crypto import hash_token

from calls.models import AccessToken
from calls.models.access import revision

# More tokens than this are not in use at once; whoever tries many wrong ones fills nothing, they are not kept.
MOST = 10_000


@dataclass(slots=True)
class Caller:
    """A valid token with its owner, and what was asked about the owner's rights so far."""

    token: AccessToken
    until: float
    revision: int
    rights: dict[str, bool] = field(default_factory=dict)

    def may(self, right: str) -> bool:
        """Say whether the owner has a right, such as `calls.add_callevent`."""
        known = self.rights.get(right)
        if known is None:
            known = self.rights[right] = self.token.user.has_perm(right)
        return known


_callers: dict[bytes, Caller] = {}


def find_caller(key: bytes) -> Caller | None:
    """Return whose key this is; None if it is nobody's, or no longer valid. The day of its use is noted."""
    now = timezone.now()
    caller = recall_caller(key, at=now)
    if caller is None:
        caller = _look_up(key)
        if caller is None:
            return None
        if len(_callers) >= MOST:
            _callers.clear()
        _callers[_place(key)] = caller
    if _expired(caller.token, now):
        return None
    note_use(caller.token, at=now)
    return caller


def recall_caller(key: bytes, *, at: datetime) -> Caller | None:
    """Return whose key this is, if that is remembered, valid, and its use today is noted; nothing is looked up."""
    caller = _callers.get(_place(key))
    if caller is None or caller.until <= monotonic() or caller.revision != revision.number:
        return None
    if _expired(caller.token, at) or caller.token.last_used_on != at.date():
        return None
    return caller


def _place(key: bytes) -> bytes:
    return blake2b(key, digest_size=32).digest()  # the key itself is kept nowhere


def _expired(token: AccessToken, at: datetime) -> bool:
    return token.expiry is not None and token.expiry <= at


def _look_up(key: bytes) -> Caller | None:
    number = revision.number  # before looking: what is revoked meanwhile counts
    try:
        token = AccessToken.objects.select_related("user").get(digest=hash_token(key.decode("ascii")))
    except (UnicodeDecodeError, AccessToken.DoesNotExist):
        return None
    if not token.user.is_active:
        return None
    caller = token.caller = Caller(token, until=monotonic() + settings.TOKEN_CACHE_SECONDS, revision=number)
    return caller


def note_use(token: AccessToken, *, at: datetime) -> None:
    """Remember the day of a token's last use: one write a day, however busy the token is."""
    today = at.date()
    if token.last_used_on != today:
        AccessToken.objects.filter(pk=token.pk).note_use(today)
        token.last_used_on = today
