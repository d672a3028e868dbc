"""Digest authentication for SIP: RFC 3261 (section 22), RFC 7616, and RFC 8760 for SHA-256."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from calls.sip.messages import TOKEN, escaped

# Strongest first. MD5 is what most servers still ask for; the `-sess` variants are not used in SIP.
ALGORITHMS = {"SHA-256": "sha256", "MD5": "md5"}
PARAMETER = re.compile(rf'[ \t]*({TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))[ \t]*(?:,|$)', re.DOTALL)
# A challenge longer than this is none.
LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks to be answered; texts are as they stand between the quotes, escapes and all.

    That is also how they are hashed: `unq` of RFC 7616 takes off the quotes and nothing else, and Kamailio agrees.
    """

    realm: str
    nonce: str
    algorithm: str
    with_qop: bool
    opaque: str | None = None
    stale: bool = False


def read_challenge(value: str) -> Challenge | None:
    """Return the challenge in a WWW-Authenticate or Proxy-Authenticate header, or None if we cannot answer it."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest" or len(value) > LONGEST:
        return None
    found: dict[str, str] = {}
    place = 0
    while place < len(rest):
        parameter = PARAMETER.match(rest, place)
        if parameter is None:
            return None
        name = parameter[1].lower()
        if name in found:
            return None
        found[name] = parameter[3] if parameter[2] is None else parameter[2]
        place = parameter.end()
    algorithm = found.get("algorithm", "MD5").upper()
    offered = {word.strip().lower() for word in found.get("qop", "").split(",")} - {""}
    if (
        algorithm not in ALGORITHMS
        or "realm" not in found
        or not found.get("nonce")
        or (offered and "auth" not in offered)
    ):
        return None
    return Challenge(
        realm=found["realm"],
        nonce=found["nonce"],
        algorithm=algorithm,
        # Without qop it is the older form (RFC 2069), which some servers still speak.
        with_qop=bool(offered),
        opaque=found.get("opaque"),
        stale=found.get("stale", "").lower() == "true",
    )


def choose(values: Iterable[str], *, realm: str = "") -> Challenge | None:
    """Return the strongest challenge that we can answer; with a realm, only one of that realm."""
    found = [challenge for value in values if (challenge := read_challenge(value))]
    fitting = [challenge for challenge in found if not realm or challenge.realm == escaped(realm)]
    return min(fitting, key=lambda challenge: list(ALGORITHMS).index(challenge.algorithm), default=None)


def answer(challenge: Challenge, *, username: str, password: str, method: str, uri: str, cnonce: str = "") -> str:
    """Return the value of the Authorization header that answers a challenge (RFC 7616, section 3.4)."""

    def digest(*parts: str) -> str:
        return hashlib.new(
            ALGORITHMS[challenge.algorithm], ":".join(parts).encode("utf-8", "replace"), usedforsecurity=False
        ).hexdigest()

    cnonce = cnonce or secrets.token_hex(16)
    count = "00000001"  # each nonce is used once
    username = escaped(username)
    secret = digest(username, challenge.realm, password)
    between = (count, cnonce, "auth") if challenge.with_qop else ()
    response = digest(secret, challenge.nonce, *between, digest(method, uri))
    parts = [
        f'username="{username}"',
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{uri}"',
        f'response="{response}"',
        f"algorithm={challenge.algorithm}",
    ]
    if challenge.opaque is not None:
        parts.append(f'opaque="{challenge.opaque}"')
    if challenge.with_qop:
        parts += ["qop=auth", f"nc={count}", f'cnonce="{cnonce}"']
    return "Digest " + ", ".join(parts)
