"""Opaque cursors: where a page begins, tied to the filters it was made for."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from calls.web.errors import Invalid


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list, and whether the page before it is wanted instead of the one after it."""

    started_at: datetime
    id: UUID | int
    backwards: bool = False


def write_cursor(cursor: Cursor, *, filters: Any) -> str:
    """Return the text that callers carry from page to page."""
    body = msgspec.json.encode([cursor.started_at, cursor.id, cursor.backwards])
    return base64.urlsafe_b64encode(_seal(body, filters) + body).decode().rstrip("=")


def read_cursor(text: str, *, filters: Any) -> Cursor:
    """Return what a cursor says; raise Invalid for one that we did not make for these filters."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        seal, body = packed[:_SEAL_BYTES], packed[_SEAL_BYTES:]
        if seal != _seal(body, filters):
            raise Invalid({"cursor": ["This cursor is not valid, or belongs to other filters."]})
        started_at, call, backwards = msgspec.json.decode(body, type=tuple[datetime, UUID | int, bool])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Invalid({"cursor": ["This cursor is not valid, or belongs to other filters."]}) from None
    return Cursor(started_at, call, backwards)


_SEAL_BYTES = 9


def _seal(body: bytes, filters: Any) -> bytes:
    key = salted_hmac("calls.web.cursors", repr(filters).encode() + b"\x00" + body, algorithm="sha256")
    return key.digest()[:_SEAL_BYTES]


def link_header(request: HttpRequest, cursors: dict[str, str]) -> str:
    """Return the value of an RFC 8288 Link header that leads to the pages of these cursors."""
    links = [f'<{address_of_page(request, cursor)}>; rel="{relation}"' for relation, cursor in cursors.items()]
    return ", ".join(links)


def address_of_page(request: HttpRequest, cursor: str | None) -> str | None:
    """Return the address of the request's list at another page; None without a cursor."""
    if cursor is None:
        return None
    query = request.GET.copy()
    query["cursor"] = cursor
    return f"{request.build_absolute_uri(request.path)}?{query.urlencode()}"
