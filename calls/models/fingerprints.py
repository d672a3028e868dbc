"""Keyed fingerprints (HMAC-SHA256): what is told from its equals by them cannot be read back, or guessed without a key.

A telephone number has so few digits that a plain hash of it could be undone by trying all numbers.
The newest key of ENCRYPTION_KEYS, else SECRET_KEY, makes a fingerprint; to compare, those of all keys are made, so that
a key can be replaced as long as the old one stays among ENCRYPTION_KEYS or SECRET_KEY_FALLBACKS.
"""

import hmac
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from calls.domain.numbers import canonical


def fingerprints(text: str, *, of: str) -> list[str]:
    """Return the fingerprints of a text under every key, the newest first, 64 hexadecimal digits each.

    `of` says what the text is; the same text as something else has another fingerprint.
    """
    keys = _keys(tuple(settings.ENCRYPTION_KEYS), settings.SECRET_KEY, tuple(settings.SECRET_KEY_FALLBACKS))
    message = f"{of}:{text}".encode(errors="surrogatepass")
    return [hmac.digest(key, message, "sha256").hex() for key in keys]


def number_fingerprints(number: str) -> list[str]:
    """Return the fingerprints of a number or another address, the same for all spellings with one canonical form."""
    return fingerprints(canonical(number), of="number")


@lru_cache(maxsize=8)
def _keys(encryption_keys: tuple[str, ...], secret_key: str, fallbacks: tuple[str, ...]) -> list[bytes]:
    secrets = (*encryption_keys, secret_key, *fallbacks)
    return [
        HKDF(algorithm=SHA256(), length=32, salt=None, info=b"phonegoggles fingerprints").derive(secret.encode())
        for secret in secrets
    ]
