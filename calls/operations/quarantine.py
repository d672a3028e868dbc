"""The quarantine: refused reports are kept within bounds, mended, sent through their door again, or dismissed.

What one sender may take up is bounded in rows and bytes. When that is full, rows that were handled make
room, the oldest first; if there are none, the newcomer is dropped and counted: what nobody has looked at yet is never
pushed out by a flood.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Sum

from calls.domain.masking import mask_secrets
from calls.models.quarantine import QuarantineShare, QuarantineState, RefusedReport
from calls.operations.turns import write_turn

# Of a body that is larger, only the beginning is kept.
BODY_BYTES = 64 * 1024
DETAIL_LENGTH = 1_000
ERRORS_BYTES = 4_000
BATCH = 500
# Refusing must not wait for long: a quarantine that is not free by then is left alone.
LOCK_TIMEOUT = "2s"

# Takes a body, its media type and the time, and answers with a status and a body: a door without its HTTP.
Door: TypeAlias = Callable[[bytes, str, datetime], tuple[int, dict[str, Any]]]
_doors: dict[str, Door] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One body that was refused, and what its sender was told. `size` is its length where that is not all of it."""

    body: bytes
    status: int
    code: str
    detail: str
    errors: dict[str, Any] | None = None
    media_type: str = "application/json"
    event_id: str | None = None
    call_id: str | None = None
    size: int | None = None


class NotOpen(Exception):
    """A refused report was replayed or dismissed before."""


def open_door(name: str, door: Door) -> None:
    """Let what this door refused be replayed through it; doors stand on a higher floor and report here."""
    _doors[name] = door


# -- Keeping ------------------------------------------------------------------------------------------


def keep(refusals: Sequence[Refusal], *, door: str, sender: str, sender_name: str, at: datetime) -> int:
    """Keep what a sender was refused, as far as there is room, and return how many new rows that made."""
    most_rows, most_bytes = settings.QUARANTINE_ROWS, settings.QUARANTINE_BYTES
    if not (refusals and most_rows and most_bytes):
        return 0
    counted: dict[str, list[Any]] = {}
    for refusal in refusals:
        entry = counted.setdefault(_fingerprint(refusal), [refusal, 0])
        entry[1] += 1
    with write_turn(), transaction.atomic():
        _wait_briefly()
        QuarantineShare.objects.bulk_create([QuarantineShare(sender=sender)], ignore_conflicts=True)
        share = QuarantineShare.objects.select_for_update().get(pk=sender)
        theirs = RefusedReport.objects.filter(sender=sender)
        for fingerprint in _known(door, list(counted), sender):
            _, times = counted.pop(fingerprint)
            theirs.filter(door=door, fingerprint=fingerprint).update(times=F("times") + times, last_received_at=at)
        rows = [
            _row(refusal, fingerprint, times, door=door, sender=sender, sender_name=sender_name, at=at)
            for fingerprint, (refusal, times) in counted.items()
        ]
        fitting = _fit(rows, sender, most_rows=most_rows, most_bytes=most_bytes)
        RefusedReport.objects.bulk_create(fitting, batch_size=BATCH)
        if dropped := len(rows) - len(fitting):
            share.dropped, share.dropped_at = share.dropped + dropped, at
            share.save(update_fields=["dropped", "dropped_at"])
    return len(fitting)


def _wait_briefly() -> None:
    """Bound the waiting on PostgreSQL, in this transaction only."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def _fingerprint(refusal: Refusal) -> str:
    """Return what a repeated body is known by; keyed, since it is made of what may hold secrets."""
    key = f"quarantine:{settings.SECRET_KEY}".encode()
    return hmac.new(key, b"%d:" % (refusal.size or 0) + refusal.body, "sha256").hexdigest()


def _known(door: str, fingerprints: list[str], sender: str) -> list[str]:
    found: list[str] = []
    for begin in range(0, len(fingerprints), BATCH):
        some = fingerprints[begin : begin + BATCH]
        rows = RefusedReport.objects.filter(sender=sender, door=door, fingerprint__in=some).order_by()
        found += rows.values_list("fingerprint", flat=True)
    return found


def _row(
    refusal: Refusal, fingerprint: str, times: int, *, door: str, sender: str, sender_name: str, at: datetime
) -> RefusedReport:
    body = mask_secrets(refusal.body[:BODY_BYTES])[:BODY_BYTES]
    detail = _storable(refusal.detail, DETAIL_LENGTH)
    errors = _bounded(refusal.errors)
    size = len(refusal.body) if refusal.size is None else refusal.size
    return RefusedReport(
        door=door,
        media_type=_storable(refusal.media_type, 100),
        sender=sender,
        sender_name=_storable(sender_name, 150),
        status=refusal.status,
        code=_storable(refusal.code, 64),
        detail=detail,
        errors=errors,
        body=body,
        size=size,
        is_cut=size > len(refusal.body[:BODY_BYTES]),
        fingerprint=fingerprint,
        kept_bytes=len(body) + len(detail) + len(str(errors or "")),
        event_id=_id(refusal.event_id),
        call_id=_id(refusal.call_id),
        times=times,
        received_at=at,
        last_received_at=at,
    )


def _storable(text: str, length: int) -> str:
    """Return a text without what no database can keep, cut to a length."""
    plain = text.replace("\x00", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()
    return plain[:length]


def _bounded(errors: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the errors of single fields, as many as there is room for."""
    kept: dict[str, list[str]] = {}
    room = ERRORS_BYTES
    for name, messages in (errors or {}).items():
        texts = [_storable(str(message), DETAIL_LENGTH) for message in messages]
        room -= len(name) + sum(map(len, texts))
        if room < 0:
            break
        kept[_storable(name, DETAIL_LENGTH)] = texts
    return kept or None


def _id(text: str | None) -> str | None:
    return _storable(text, 255) if text else None


def _fit(rows: list[RefusedReport], sender: str, *, most_rows: int, most_bytes: int) -> list[RefusedReport]:
    """Return those of the rows, from the first on, that there is room for; handled ones are removed to make some."""
    if not rows:
        return []
    theirs = RefusedReport.objects.filter(sender=sender).order_by()
    present = theirs.aggregate(rows=Count("pk"), bytes=Sum("kept_bytes"))
    free_rows, free_bytes = most_rows - present["rows"], most_bytes - (present["bytes"] or 0)
    wanted_bytes = sum(row.kept_bytes for row in rows)
    if free_rows < len(rows) or free_bytes < wanted_bytes:
        handled = theirs.exclude(state=QuarantineState.OPEN).order_by("handled_at", "pk")
        gone = []
        for key, size in handled.values_list("pk", "kept_bytes").iterator():
            if free_rows >= len(rows) and free_bytes >= wanted_bytes:
                break
            gone.append(key)
            free_rows, free_bytes = free_rows + 1, free_bytes + size
        for begin in range(0, len(gone), BATCH):
            theirs.filter(pk__in=gone[begin : begin + BATCH]).delete()
    fitting = []
    for row in rows:
        if free_rows < 1 or free_bytes < row.kept_bytes:
            continue
        free_rows, free_bytes = free_rows - 1, free_bytes - row.kept_bytes
        fitting.append(row)
    return fitting


# -- Handling -----------------------------------------------------------------------------------------


def mend(report: RefusedReport, *, body: bytes) -> None:
    """Keep a mended body for a replay; what was sent stays beside it. Raises NotOpen."""
    mended = None if body == bytes(report.body) else mask_secrets(body[:BODY_BYTES])
    _change(report, mended_body=mended)


def replay(report: RefusedReport, *, user_id: int, at: datetime) -> tuple[int, dict[str, Any]]:
    """Send a report, mended or not, through its door again, and return the answer; raises NotOpen.

    It is handled once everything in it was accepted; else it stays open, with the answer. Two replays at
    once do no harm: the second finds what it reports known.
    """
    if report.state != QuarantineState.OPEN:
        raise NotOpen
    body = bytes(report.body if report.mended_body is None else report.mended_body)
    status, answer = _doors[report.door](body, report.media_type, at)
    accepted = {"state": QuarantineState.REPLAYED, "handled_by_id": user_id, "handled_at": at}
    partly = status == 207 or not 200 <= status < 300
    _change(report, replayed_status=status, replayed_answer=answer, **({} if partly else accepted))
    return status, answer


def dismiss(report: RefusedReport, *, user_id: int, at: datetime) -> None:
    """Say that nothing is to be done about a report; raises NotOpen."""
    _change(report, state=QuarantineState.DISMISSED, handled_by_id=user_id, handled_at=at)


def _change(report: RefusedReport, **values: Any) -> None:
    if not RefusedReport.objects.filter(pk=report.pk, state=QuarantineState.OPEN).update(**values):
        raise NotOpen
    report.refresh_from_db()


def purge_quarantine(*, before: datetime) -> int:
    """Remove what was last sent before an instant, handled or not, and return how many there were."""
    removed = 0
    while True:
        old = RefusedReport.objects.filter(last_received_at__lt=before).order_by("last_received_at")
        ids = list(old.values_list("pk", flat=True)[:BATCH])
        if not ids:
            return removed
        with write_turn():
            removed += RefusedReport.objects.filter(pk__in=ids, last_received_at__lt=before).delete()[0]
