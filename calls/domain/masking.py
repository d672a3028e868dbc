"""Taking secrets out of what somebody sent before it is kept, and shown to people.

A body may be anything: broken JSON is looked through as text, and what cannot be told apart is taken out too.
"""

import json
import re
from typing import Any

MASK = "***"

_WORDS = r"password|passwd|passphrase|pwd|secret|token|authorization|api[_-]?key|private[_-]?key|credential|cookie"
_SECRET_KEY = re.compile(_WORDS, re.IGNORECASE)
_SECRET_WORD = re.compile(_WORDS.encode(), re.IGNORECASE)
_ESCAPED_LETTER = re.compile(rb"\\u00((?:2d|5f|[46][1-9a-f]|[57][0-9a]))", re.IGNORECASE)
# Keys are bounded, so that no text can make the search slow.
# "key": then a text, perhaps without an end; a list or an object, which may hide anything up to the end; or a word.
_PAIR = re.compile(
    rb'("[^"]{0,200}(?:' + _WORDS.encode() + rb')[^"]{0,200}"\s*:\s*)("(?:[^"\\]|\\.)*"?|[\[{].*|[^\s,}\]]+)',
    re.IGNORECASE | re.DOTALL,
)
# What is a secret wherever it stands: HTTP credentials, secrets of Standard Webhooks.
_CREDENTIALS = re.compile(rb"\b(Token|Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}|\bwhsec_[A-Za-z0-9+/=]+", re.IGNORECASE)


def mask_secrets(body: bytes) -> bytes:
    """Return a body without the values of keys such as password, token or secret, however deep.

    What holds no secret stays as it was, byte for byte. Else, JSON is written anew, and broken JSON
    only has the values replaced.
    """
    plain = body.replace(b"\x00", b"")  # JSON in UTF-16, which no door takes, is full of these
    if _SECRET_WORD.search(_spelled_out(plain)):
        try:
            found = json.loads(body)
            masked = _masked(found)
        except (ValueError, RecursionError):
            plain = _PAIR.sub(rb'\1"' + MASK.encode() + b'"', _spelled_out(plain))
        else:
            plain = plain if masked == found else json.dumps(masked, ensure_ascii=False).encode(errors="replace")
    masked_whole = _CREDENTIALS.sub(MASK.encode(), plain)
    return body if masked_whole == body.replace(b"\x00", b"") else masked_whole


def mask_values(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an accepted report without the values of keys such as password, token or secret."""
    return _masked(fields) if fields else fields


def _spelled_out(text: bytes) -> bytes:
    """Return JSON with its escaped ASCII letters as plain ones, behind which a word could hide."""
    return _ESCAPED_LETTER.sub(lambda found: bytes([int(found[1], 16)]), text)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: MASK if _SECRET_KEY.search(key) and inner not in (None, "") else _masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and _SECRET_KEY.search(value):
        return mask_secrets(value.encode(errors="replace")).decode(errors="replace")  # JSON within a text
    return [_masked(inner) for inner in value] if isinstance(value, list) else value
