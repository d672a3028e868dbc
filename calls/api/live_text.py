"""Messages of the socket, written out: what the serializers of `/api/` say of calls and events, many at a time.

A serializer asks each field how to find and how to show its value, for every row anew. Here it is asked once what
its fields are, and each becomes one function of a row; whatever JSON shows by itself is left to JSON.
"""

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from rest_framework import serializers

from calls.api.representations import EventRepresentation, LiveCallRepresentation
from calls.models import Call, CallEvent

# Their fields show what the row has: texts, numbers, UUIDs and instants as JSON has them, keys of other rows.
PLAIN = (
    serializers.BooleanField,
    serializers.CharField,
    serializers.ChoiceField,
    serializers.DateTimeField,
    serializers.IntegerField,
    serializers.UUIDField,
)


class Writer:
    """Says of a row what a serializer says of it, in values that msgspec writes as that serializer's JSON."""

    def __init__(self, serializer: serializers.ModelSerializer[Any]) -> None:
        self._fields = [(name, reader(field)) for name, field in serializer.fields.items()]

    def __call__(self, row: Any) -> dict[str, Any]:
        """Return what is shown of a row."""
        return {name: read(row) for name, read in self._fields}


def reader(field: serializers.Field[Any, Any, Any, Any]) -> Callable[[Any], Any]:
    """Return the function that finds a field's value in a row; raise TypeError for a field we cannot stand in for."""
    if isinstance(field, serializers.SerializerMethodField):
        method: Callable[[Any], Any] = getattr(field.parent, str(field.method_name))
        return method
    if isinstance(field, serializers.PrimaryKeyRelatedField):
        return attrgetter(f"{field.source}_id")
    path = attrgetter(str(field.source))
    if isinstance(field, serializers.FloatField):
        return lambda row: None if (value := path(row)) is None else float(value)
    if not isinstance(field, PLAIN):
        raise TypeError(f"{field!r} must be taught here")
    first, _, rest = str(field.source).partition(".")
    if not rest:
        return path
    start, end = attrgetter(first), attrgetter(rest)
    return lambda row: None if (value := start(row)) is None else end(value)


@cache
def _writers() -> tuple[Writer, Writer]:
    return Writer(LiveCallRepresentation()), Writer(EventRepresentation())


def show_call(call: Call) -> msgspec.Raw:
    """Return what is told of a call, as JSON."""
    return msgspec.Raw(msgspec.json.encode(_writers()[0](call)))


def update(cursor: str, event: CallEvent | None, call: msgspec.Raw) -> str:
    """Return the message that a call has changed."""
    shown = None if event is None else _writers()[1](event)
    return text({"type": "call.updated", "cursor": cursor, "event": shown, "call": call})


def text(body: Mapping[str, Any]) -> str:
    """Return a message as it is sent."""
    return msgspec.json.encode(body).decode()
