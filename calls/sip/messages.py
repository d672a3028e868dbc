"""SIP messages (RFC 3261): the one request that we send, and the answers that we read.

What is read comes from a stranger: reading raises Malformed and nothing else, whatever the bytes are.
"""

import re
from dataclasses import dataclass

# Forms that a header's name may also have (RFC 3261, section 7.3.3), as far as we look at them.
COMPACT = {"v": "via", "i": "call-id", "f": "from", "t": "to", "l": "content-length"}
TOKEN = r"[A-Za-z0-9.!%*_+`'~-]+"  # noqa: S105 - RFC 3261, section 25.1
STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE)
HEADER = re.compile(rf"({TOKEN})[ \t]*:(.*)", re.DOTALL)
# A line that begins with a blank belongs to the one before it (RFC 3261, section 7.3.1).
FOLD = re.compile(r"\r?\n[ \t]+")
CSEQ = re.compile(rf"([0-9]{{1,10}})[ \t]+({TOKEN})")
BRANCH = re.compile(rf";[ \t]*branch[ \t]*=[ \t]*({TOKEN})", re.IGNORECASE)
TAG = re.compile(rf";[ \t]*tag[ \t]*=[ \t]*({TOKEN})", re.IGNORECASE)
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# How much of what a server says about itself is kept.
SHOWN = 200


class Malformed(Exception):
    """These bytes are no SIP message."""


class Unsendable(Exception):
    """A value has a character that could begin another header; it names the header."""


@dataclass(frozen=True, slots=True)
class Response:
    """A SIP response, as far as we look at it."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]

    def every(self, name: str) -> list[str]:
        """Return the values of a header, in their order."""
        return [value for known, value in self.headers if known == name]

    def first(self, name: str) -> str:
        """Return the first value of a header, empty if there is none."""
        return next(iter(self.every(name)), "")

    @property
    def is_final(self) -> bool:
        """Return whether nothing follows it (a 1xx is provisional)."""
        return self.status >= 200

    @property
    def server(self) -> str:
        """Return what the server calls itself, fit to be shown."""
        return shown(self.first("server") or self.first("user-agent"))


@dataclass(frozen=True, slots=True)
class Question:
    """What identifies one request of ours, and with it the answers to it (RFC 3261, sections 8.1.3.5 and 17.1.3)."""

    call_id: str
    tag: str
    branch: str
    number: int
    method: str = "OPTIONS"

    def is_answered_by(self, response: Response) -> bool:
        """Return whether a response is an answer to this very request, and to no other."""
        vias = response.every("via")
        sequence = CSEQ.fullmatch(response.first("cseq"))
        # With a second Via it was meant for somebody else (RFC 3261, section 8.1.3.3).
        return (
            len(vias) == 1
            and "," not in re.sub(r'"[^"]*"', "", vias[0])
            and _only(BRANCH, vias[0]) == self.branch
            and response.every("call-id") == [self.call_id]
            and _only(TAG, response.first("from")) == self.tag
            and sequence is not None
            and (int(sequence[1]), sequence[2]) == (self.number, self.method)
        )


def _only(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.findall(text)
    return str(found[0]) if len(found) == 1 else ""


# -- Writing ------------------------------------------------------------------------------------


def write_request(method: str, uri: str, headers: list[tuple[str, str]]) -> bytes:
    """Return a request without a body; raises Unsendable for anything that would not stay on its line."""
    lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in headers), "Content-Length: 0"]
    for line in lines:
        if CONTROLS.search(line):
            raise Unsendable(line.partition(":")[0].partition(" ")[0])
    if " " in uri or " " in method:
        raise Unsendable("Request-URI")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def user_in_uri(user: str) -> str:
    """Return a user as a SIP URI spells it: what is not allowed there is escaped (RFC 3261, section 25.1)."""
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,;?/"
    return "".join(
        character if character in plain else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))
        for character in user
    )


def host_in_uri(host: str) -> str:
    """Return a host as a URI spells it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def escaped(text: str) -> str:
    """Return a text as it stands between the quotes of a quoted string (RFC 3261, section 25.1)."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


# -- Reading ------------------------------------------------------------------------------------


def read_response(message: bytes) -> Response:
    """Return the response that these bytes begin with; its body is not looked at. Raises Malformed."""
    head = re.split(rb"\r?\n\r?\n", message.lstrip(b"\r\n"), maxsplit=1)[0]
    lines = re.split(r"\r?\n", FOLD.sub(" ", head.decode("utf-8", "replace")))
    start = STATUS_LINE.fullmatch(lines[0])
    if start is None:
        raise Malformed("no status line")
    headers = []
    for line in lines[1:]:
        found = HEADER.fullmatch(line)
        if found is None:
            raise Malformed("no header")
        name = found[1].lower()
        headers.append((COMPACT.get(name, name), found[2].strip()))
    return Response(int(start[1]), shown(start[2] or ""), tuple(headers))


def length_of_first(stream: bytes) -> int | None:
    """Return how long the message is that a stream begins with, or None while that cannot be known. Raises Malformed.

    On a stream Content-Length says where a message ends (RFC 3261, section 18.3); without one it has no body.
    """
    end = re.search(rb"\r?\n\r?\n", stream)
    if end is None:
        return None
    lengths = set()
    for line in re.split(r"\r?\n", FOLD.sub(" ", stream[: end.start()].decode("latin-1"))):
        name, _, value = line.partition(":")
        if name.strip().lower() in ("content-length", "l"):
            lengths.add(value.strip())
    if len(lengths) > 1 or any(not re.fullmatch(r"[0-9]{1,9}", length) for length in lengths):
        raise Malformed("no length")
    return end.end() + int(lengths.pop() if lengths else 0)


def shown(text: str) -> str:
    """Return a stranger's text as one short line that can be shown and logged."""
    return CONTROLS.sub(" ", text).strip()[:SHOWN].strip()
