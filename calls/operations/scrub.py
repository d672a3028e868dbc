"""Where else than in calls and events a number may stand, and taking it out there, row by row.

Every table of ours and the admin's log is looked through, also those that are yet to be made: a new
column is covered unless it is named here as one that must stay as it is.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Cast

from calls.domain.erasure import Find, replace_anywhere, replace_in_text, search_pattern
from calls.fields import WordField
from calls.operations.turns import write_turn

# How many rows one look goes through.
STRETCH = 5_000
# Who may come in, and how, is no record of calls.
OTHER_APPS = {"auth", "contenttypes", "sessions", "knox"}
# Calls, events and numbers of clients are erased by `operations.erase`; the rest holds fingerprints or settings.
LEFT_ALONE = {
    "calls.CallEvent",
    "calls.ClientNumber",
    "calls.ErasureReceipt",
    "calls.ErasedCall",
    "calls.ErasedEvent",
    "calls.AccessLogEntry",
    "calls.QuarantineShare",
    "calls.WebhookSource",
}
# Of these tables only some columns: a call's state follows from its events, an account's settings are the operator's.
ONLY = {
    "calls.Call": {"notes"},
    "calls.SIPConfiguration": {"last_test"},
    "calls.IdempotentRequest": {"answer"},
    "admin.LogEntry": {"object_repr", "change_message"},
}


@dataclass(frozen=True, slots=True)
class Place:
    """A table, and its columns in which anything may be written."""

    model: type[models.Model]
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called in receipts."""
        return self.model._meta.label

    @property
    def searched(self) -> bool:
        """Whether the database can search it; else all rows are read."""
        return not any(isinstance(self.model._meta.get_field(name), models.BinaryField) for name in self.columns)


def places() -> list[Place]:
    """Return the tables that must be looked through, always in the same order."""
    found = []
    for model in sorted(apps.get_models(), key=lambda model: model._meta.label):
        meta = model._meta
        if meta.app_label in OTHER_APPS or meta.label in LEFT_ALONE or not meta.managed or meta.proxy:
            continue
        columns = tuple(
            field.name
            for field in meta.concrete_fields
            if isinstance(field, models.CharField | models.TextField | models.JSONField | models.BinaryField)
            and not (isinstance(field, WordField) or field.unique)
            and field.name in ONLY.get(meta.label, {field.name})
        )
        if columns:
            found.append(Place(model, columns))
    return found


def stretches(
    rows: "QuerySet[Any]", *, after: Any = None, size: int = STRETCH
) -> Iterator[tuple["QuerySet[Any]", Any]]:
    """Yield rows a stretch at a time, in the order of their keys, with the last key of each."""
    while True:
        rest = rows.order_by("pk") if after is None else rows.filter(pk__gt=after).order_by("pk")
        last = rest.values_list("pk", flat=True)[size - 1 : size].first()
        if last is None:
            last = rest.values_list("pk", flat=True).last()
        if last is None:
            return
        yield rest.filter(pk__lte=last), last
        after = last


def holding(rows: "QuerySet[Any]", columns: tuple[str, ...], number: str) -> "QuerySet[Any]":
    """Return those of the rows that may hold a spelling of a number in some columns."""
    pattern, condition = search_pattern(number), Q()
    for name in columns:
        text = name
        if isinstance(rows.model._meta.get_field(name), models.JSONField):
            text = f"{name}_as_text"
            rows = rows.annotate(**{text: Cast(name, models.TextField())})
        condition |= Q(**{f"{text}__regex": pattern})
    return rows.filter(condition)


def scrub(place: Place, rows: "QuerySet[Any]", number: str, find: Find, *, dry_run: bool) -> int:
    """Take a number out of some rows of a place, one transaction each, and return how many held it."""
    if place.searched:
        rows = holding(rows, place.columns, number)
    found = 0
    for key, *values in rows.values_list("pk", *place.columns):
        if not _changes(place, values, find):
            continue
        found += 1
        if not dry_run:
            _scrub_row(place, key, find)
    return found


def _scrub_row(place: Place, key: Any, find: Find) -> None:
    with write_turn(), transaction.atomic():
        row = place.model._base_manager.select_for_update().filter(pk=key)
        present = row.values_list(*place.columns).first()
        if present is not None and (changes := _changes(place, list(present), find)):
            row.update(**changes)


def _changes(place: Place, values: list[Any], find: Find) -> dict[str, Any]:
    changes = {}
    for name, value in zip(place.columns, values, strict=True):
        if value in (None, "", b""):
            continue
        field = place.model._meta.get_field(name)
        if isinstance(field, models.BinaryField):
            new: Any = _in_bytes(bytes(value), find)
            same = new == bytes(value)
        else:
            new = replace_anywhere(value, find) if isinstance(field, models.JSONField) else replace_in_text(value, find)
            length = getattr(field, "max_length", None)
            new = new[:length] if isinstance(new, str) and length else new
            same = new == value
        if not same:
            changes[name] = new
    return changes


def _in_bytes(body: bytes, find: Find) -> bytes:
    """Return a body without the number; JSON is read, since it may have escaped a digit."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        pass
    else:
        without = replace_anywhere(value, find)
        return body if without == value else json.dumps(without, ensure_ascii=False).encode(errors="surrogatepass")
    return replace_in_text(body.decode(errors="surrogateescape"), find).encode(errors="surrogateescape")
