"""Reading the query string."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Protocol, TypeVar

from calls.domain.instants import NotAnInstant, read_instant_or_date
from calls.web.errors import Invalid

T = TypeVar("T")


class HasQuery(Protocol):
    """A request of the REST framework, or whatever else has a query string."""

    @property
    def query_params(self) -> Mapping[str, str]:
        """The parameters; of one that is given several times, the last."""


def flag(request: HasQuery, name: str) -> bool:
    """Return a parameter that is true or false; absent is false."""
    value = request.query_params.get(name)
    if value is None or value.lower() in ("false", "0"):
        return False
    if value.lower() in ("true", "1"):
        return True
    raise Invalid({name: ["Must be true or false."]})


def choice(request: HasQuery, name: str, choices: dict[str, T], default: T) -> T:
    """Return the meaning of a parameter that is one of a few words."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if value not in choices:
        raise Invalid({name: [f"Must be one of: {', '.join(choices)}."]})
    return choices[value]


def whole_number(request: HasQuery, name: str, *, default: int, most: int) -> int:
    """Return a parameter that is a whole number from 1 to `most`."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= most):
        raise Invalid({name: [f"Must be a whole number from 1 to {most:,}."]})
    return int(value)


def instant(request: HasQuery, name: str, *, zone: tzinfo = UTC) -> datetime | None:
    """Return a parameter that is an ISO 8601 date and time, or a date: its first instant in a time zone."""
    value = request.query_params.get(name)
    if value is None:
        return None
    try:
        return read_instant_or_date(value, zone=zone)
    except NotAnInstant as error:
        hint = " Write a + in an address as %2B." if " " in value else ""
        raise Invalid({name: [f"{error}{hint}"]}) from None
