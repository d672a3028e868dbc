"""Reading request bodies: sizes, media types and JSON, with every trap turned into a clear refusal."""

import codecs
import io
import json
import re
from typing import IO, Any, TypeAlias

import msgspec
from django.db import connection
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from rest_framework.exceptions import APIException, UnsupportedMediaType

from calls.web.errors import BadRequest, BodyTooLarge

JSON = "application/json"
NDJSON = "application/x-ndjson"
# Deeper JSON than this says nothing about a phone call, and costs whoever reads it later.
MAX_DEPTH = 32
CHUNK_BYTES = 1024 * 1024

FieldErrors: TypeAlias = dict[str, list[str]]


class LengthRequired(APIException):
    """The server cannot tell where a chunked body ends (RFC 9110, section 15.5.12)."""

    status_code = 411
    default_detail = "This server needs a Content-Length."
    default_code = "length_required"


class InvalidJSON(BadRequest):
    """The body, or one line of it, is not JSON that we accept."""

    default_code = "invalid_json"


def media_type_of(request: HttpRequest, *, accepted: tuple[str, ...]) -> str:
    """Return the media type of the body; raise 415 unless it is one of those accepted, in UTF-8."""
    # Not `request.headers`: they would be made of the whole environment.
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("", detail="Send the body as it is, without a Content-Encoding.")
    kind = (request.content_type or "").lower()
    charset = (request.content_params or {}).get("charset", "utf-8").strip("'\"").lower()
    if kind not in accepted or charset not in ("utf-8", "utf8", "us-ascii"):
        sent = request.headers.get("Content-Type", "")
        raise UnsupportedMediaType(sent, detail=f"Send {' or '.join(accepted)} in UTF-8, not {sent or 'nothing'!r}.")
    return kind


def read_body(request: HttpRequest, *, limit: int) -> bytes:
    """Return the body; raise 413 when it is longer than `limit` bytes, without reading it all."""
    body = io.BytesIO()
    copy_body(request, body, limit=limit)
    return body.getvalue().removeprefix(codecs.BOM_UTF8)


def copy_body(request: HttpRequest, target: IO[bytes], *, limit: int) -> int:
    """Copy the body into a file and return its length; raise 413 when it is longer than `limit` bytes."""
    too_large = BodyTooLarge(f"The body is over the limit of {limit:,} bytes.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise too_large
    stream = _stream(request)
    missing = limit + 1
    _let_go_of_the_database()
    try:
        while missing and (part := stream.read(min(missing, CHUNK_BYTES))):
            target.write(part)
            missing -= len(part)
    except (UnreadablePostError, OSError):
        raise BadRequest("The body ended before it was complete.") from None
    if not missing:
        raise too_large
    return limit + 1 - missing


def _let_go_of_the_database() -> None:
    """Give a pooled connection back: senders that stop half-way shall hold a thread, and not the database too."""
    if connection.connection is None:  # usually: nothing was asked yet
        return
    if "pool" in connection.settings_dict["OPTIONS"] and not connection.in_atomic_block:
        connection.close()


def is_chunked(request: HttpRequest) -> bool:
    """Say whether the body comes in chunks, so that its length is not told beforehand (RFC 9112, section 7.1)."""
    return "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()


def _stream(request: HttpRequest) -> Any:
    """Return what to read the body from; Django takes a chunked one (RFC 9112) for empty under WSGI."""
    meta = request.META
    if not is_chunked(request) or "wsgi.input" not in meta:
        return request
    if not meta.get("wsgi.input_terminated"):
        raise LengthRequired
    return meta["wsgi.input"]


def parse_json(text: bytes | msgspec.Raw, kind: Any = Any) -> Any:
    """Return what a JSON text says, as `kind`; raise InvalidJSON with the reason."""
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError:
        raise InvalidJSON("The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise InvalidJSON("The JSON is not valid UTF-8.") from None
    except msgspec.ValidationError as error:
        raise InvalidJSON(f"The JSON is not what was expected: {error}.") from None
    except msgspec.DecodeError as error:
        raise InvalidJSON(f"The body is not valid JSON: {error}.") from None


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def write_json(body: Any) -> bytes:
    """Return a body as the REST framework would write it."""
    # Two characters that are line ends to JavaScript, but not to JSON.
    return _encoder.encode(body).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


def split_array(text: bytes) -> list[bytes]:
    """Return the elements of a JSON array, each still as its text; raise InvalidJSON for what is no array.

    An element that is broken in itself spoils no other: it is found by its brackets and quotes alone.
    """
    try:
        return [bytes(raw) for raw in parse_json(text, list[msgspec.Raw])]
    except InvalidJSON as error:
        elements = _cut_at_commas(text.strip())
        if elements is None:
            raise error from None
        return elements


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


def _cut_at_commas(text: bytes) -> list[bytes] | None:
    """Cut an array at the commas of its first level; None if its brackets do not match."""
    elements, depth, begin = [], 0, 1
    for found in _MARKS.finditer(text):
        mark = found[0]
        if mark in (b"[", b"{"):
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
            if depth <= 0 and found.end() != len(text):
                return None
        elif mark == b"," and depth == 1:
            elements.append(text[begin : found.start()])
            begin = found.end()
    if depth != 0 or not text.endswith(b"]"):
        return None
    return [*elements, text[begin:-1]]


def unstorable(fields: dict[str, Any], *, raw: bytes) -> FieldErrors:
    """Return which top-level fields hold what no database can keep: NUL characters, endless nesting."""
    nul = b"\\u0000" in raw  # else there is no need to look at every text
    errors: FieldErrors = {}
    for name, value in fields.items():
        problem = _problem(value, nul, 1) if nul or isinstance(value, dict | list) else None
        if nul and "\x00" in name:
            problem = "Must not have a NUL character in its name."
        if problem:
            errors[name.replace("\x00", "\N{SYMBOL FOR NULL}")] = [problem]
    return errors


def _problem(value: Any, nul: bool, depth: int) -> str | None:
    if isinstance(value, str):
        return "Must not contain NUL characters." if nul and "\x00" in value else None
    if not isinstance(value, dict | list):
        return None
    if depth >= MAX_DEPTH:
        return f"Must not be nested more than {MAX_DEPTH} levels deep."
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return next((problem for part in parts if (problem := _problem(part, nul, depth + 1))), None)
