"""Credentials for TURN servers that end by themselves (draft-uberti-behave-turn-rest-00; coturn's use-auth-secret).

The TURN server shares a secret with us, and believes whatever was signed with it until its time is up.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class TurnCredentials:
    """A user name and password for a TURN server, and when they end."""

    username: str
    credential: str
    expires_at: datetime


def turn_credentials(user: str, *, secret: str, at: datetime, ttl_seconds: int) -> TurnCredentials:
    """Return credentials for a user: `expiry:user`, and base64 of its HMAC-SHA1 under the secret."""
    expires_at = at.replace(microsecond=0) + timedelta(seconds=ttl_seconds)
    username = f"{int(expires_at.timestamp())}:{user}"
    signature = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return TurnCredentials(username, base64.b64encode(signature).decode(), expires_at)
