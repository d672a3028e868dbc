"""Secrets that must be read back: encrypted with keys from the environment, which can be rotated.

The first of ENCRYPTION_KEYS encrypts, or without any a key that is derived from SECRET_KEY. To read, all of them are
tried, and those derived from SECRET_KEY and SECRET_KEY_FALLBACKS too.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class UnreadableSecret(Exception):
    """A stored secret was encrypted with a key that is not among ENCRYPTION_KEYS any more."""


def encrypt(secret: str) -> str:
    """Return a secret as it may be stored; the newest key encrypts."""
    return _ours().encrypt(secret.encode()).decode()


def decrypt(stored: str) -> str:
    """Return the secret that was stored; any of the keys may have encrypted it."""
    try:
        return _ours().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise UnreadableSecret("No key in ENCRYPTION_KEYS reads this secret; enter it again.") from None


def encrypt_anew(stored: str) -> str:
    """Return a stored secret encrypted with the newest key."""
    return encrypt(decrypt(stored))


def _ours() -> MultiFernet:
    return _keys(tuple(settings.ENCRYPTION_KEYS), (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=8)
def _keys(keys: tuple[str, ...], secret_keys: tuple[str, ...]) -> MultiFernet:
    """Return the keys, the one that encrypts first."""
    return MultiFernet([*map(Fernet, keys), *(Fernet(_derived(secret_key)) for secret_key in secret_keys)])


def _derived(secret_key: str) -> bytes:
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"phonegoggles stored secrets")
    return base64.urlsafe_b64encode(derive.derive(secret_key.encode()))
