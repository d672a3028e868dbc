"""Secrets that must be read back: encrypted with keys from the environment, which can be rotated."""

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
    return _keys(tuple(settings.ENCRYPTION_KEYS), settings.SECRET_KEY).encrypt(secret.encode()).decode()


def decrypt(stored: str) -> str:
    """Return the secret that was stored; any of the keys may have encrypted it."""
    try:
        return _keys(tuple(settings.ENCRYPTION_KEYS), settings.SECRET_KEY).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise UnreadableSecret("No key in ENCRYPTION_KEYS reads this secret; enter it again.") from None


def encrypt_anew(stored: str) -> str:
    """Return a stored secret encrypted with the newest key."""
    return encrypt(decrypt(stored))


@lru_cache(maxsize=8)
def _keys(keys: tuple[str, ...], secret_key: str) -> MultiFernet:
    """Return the keys, newest first; without any, one that is derived from SECRET_KEY."""
    if not keys:
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"phonegoggles stored secrets")
        keys = (base64.urlsafe_b64encode(derive.derive(secret_key.encode())).decode(),)
    return MultiFernet([Fernet(key) for key in keys])
