"""Sending a file, or a part of it (RFC 9110, section 14)."""

import re
from collections.abc import Iterator
from typing import IO

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

CHUNK_BYTES = 64 * 1024
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class NotSatisfiable(ValueError):
    """No byte of the file lies in the range that was asked for."""


def read_range(header: str | None, *, size: int) -> tuple[int, int] | None:
    """Return the first and last byte that are wanted; None for the whole file, also for what we do not understand.

    Raises NotSatisfiable.
    """
    found = _RANGE.fullmatch((header or "").replace(" ", "").lower())
    if found is None or found.groups() == ("", ""):
        return None
    first_text, last_text = found.groups()
    if not first_text:  # the last so many bytes
        first, last = max(0, size - int(last_text)), size - 1
    else:
        first = int(first_text)
        last = min(int(last_text), size - 1) if last_text else size - 1
        if last_text and int(last_text) < first:
            return None
    if first > last:
        raise NotSatisfiable
    return first, last


def file_response(file: IO[bytes], *, size: int, content_type: str, range_header: str | None) -> HttpResponseBase:
    """Return an answer that streams a file: 200, 206 for a part, or 416."""
    try:
        wanted = read_range(range_header, size=size)
    except NotSatisfiable:
        file.close()
        response: HttpResponseBase = HttpResponse(status=416)
        response["Content-Range"] = f"bytes */{size}"
        return response
    first, last = wanted or (0, size - 1)
    response = StreamingHttpResponse(_part(file, first, last), status=206 if wanted else 200, content_type=content_type)
    if wanted:
        response["Content-Range"] = f"bytes {first}-{last}/{size}"
    response["Content-Length"] = str(last - first + 1)
    response["Accept-Ranges"] = "bytes"
    # A recording is no page: no browser may guess that it is one.
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response


def _part(file: IO[bytes], first: int, last: int) -> Iterator[bytes]:
    with file:
        file.seek(first)
        left = last - first + 1
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
