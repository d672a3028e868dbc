"""Opaque cursors: where a page begins, tied to the filters it was made for."""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac

from calls.web.errors import Invalid


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list, and whether the page before it is wanted instead of the one after it."""

    started_at: datetime
    id: UUID | int
    backwards: bool = False


def write_cursor(cursor: Cursor, *, filters: Any) -> str:
    """Return the text that callers carry from page to page."""
    return seal(msgspec.json.encode([cursor.started_at, cursor.id, cursor.backwards]), purpose=filters)


def read_cursor(text: str, *, filters: Any) -> Cursor:
    """Return what a cursor says; raise Invalid for one that we did not make for these filters."""
    try:
        started_at, call, backwards = msgspec.json.decode(
            unseal(text, purpose=filters), type=tuple[datetime, UUID | int, bool]
        )
    except (ValueError, msgspec.MsgspecError):
        raise Invalid({"cursor": ["This cursor is not valid, or belongs to other filters."]}) from None
    return Cursor(started_at, call, backwards)


_SEAL_BYTES = 9


def seal(body: bytes, *, purpose: Any) -> str:
    """Return a text that says `body` to us, and that nobody else can make."""
    return base64.urlsafe_b64encode(_seal(body, purpose) + body).decode().rstrip("=")


def unseal(text: str, *, purpose: Any) -> bytes:
    """Return what was sealed for this purpose; raise ValueError for anything else."""
    packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    mark, body = packed[:_SEAL_BYTES], packed[_SEAL_BYTES:]
    if not constant_time_compare(mark, _seal(body, purpose)):
        raise ValueError("not sealed by us for this purpose")
    return body


def _seal(body: bytes, purpose: Any) -> bytes:
    key = salted_hmac("calls.web.cursors", repr(purpose).encode() + b"\x00" + body, algorithm="sha256")
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
