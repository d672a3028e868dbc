"""Answers in one piece, as bytes of HTTP/1.1 (RFC 9112)."""

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from phonegoggles.gateway import BODILESS, Answer

logger = logging.getLogger(__name__)

CLOSE = b"connection: close\r\n"
FAILED: Answer = (500, [], b"")


def write_answer(
    answer: Answer, *, date: Sequence[bytes], with_body: bool = True, keep_alive: bool = True
) -> tuple[bytes, bool]:
    """Return an answer's bytes, and whether its connection stays; headers that cannot be sent make it a 500.

    `date` are the server's own lines; without its body (HEAD) an answer tells that body's length.
    """
    lines = header_lines(answer[1])
    if lines is None:
        answer, lines = FAILED, b""
    status, headers, body = answer
    names = {name.lower() for name, _ in headers}
    if status in BODILESS:
        body = b""
    elif "content-length" not in names:
        lines += b"content-length: %d\r\n" % len(body)
    if "connection" in names:
        keep_alive = keep_alive and CLOSE not in lines.lower()
    elif not keep_alive:
        lines += CLOSE
    return b"".join([STATUS_LINE[status], *date, lines, b"\r\n", body if with_body else b""]), keep_alive


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes | None:
    """Return headers as they are sent; None if one of them would be more than a header, which is logged."""
    headers = list(headers)
    try:
        lines = "".join([f"{name.lower()}: {value}\r\n" for name, value in headers]).encode("latin-1")
    except UnicodeEncodeError:
        lines = b"\0"
    if lines.count(b"\n") == lines.count(b"\r") == len(headers) and b"\0" not in lines:
        return lines
    logger.error("An answer's headers cannot be sent: %s", [name for name, _ in headers])
    return None


@lru_cache(maxsize=256)
def same_lines(headers: tuple[tuple[str, str], ...]) -> bytes | None:
    """Return what `header_lines` does of headers that come again and again."""
    return header_lines(headers)
