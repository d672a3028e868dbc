"""What an authenticated sender was refused at a door goes to the quarantine; how is no business of the good path.

Every door calls `keep_refused` where it answers a refusal: REST views through `KeepsRefused`, others
directly. It never raises, so that the refusal goes out in any case.
"""

import logging
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from calls import metrics
from calls.ingest.door import MAX_EVENT_BYTES, Answer
from calls.operations.quarantine import Refusal, keep
from calls.web.bodies import JSON, InvalidJSON, parse_json
from calls.web.errors import answer_exception

logger = logging.getLogger(__name__)

# What says that the report was wrong, or contradicts what is known: the sender will not send it better by itself.
KEPT_STATUSES = frozenset({400, 404, 409, 413})


def keep_refused(
    door: str,
    *,
    body: bytes,
    sender: Any,
    answer: Answer,
    at: datetime,
    media_type: str = JSON,
    size: int | None = None,
) -> None:
    """Keep what an authenticated `sender` was refused with this answer; of a batch, the members that were rejected.

    `size` is the length of the whole body where `body` is not all of it. Dry runs are not to be given here.
    """
    try:
        refusals = [_member(raw, rejection) for raw, rejection in answer.refused]
        if not refusals and answer.status in KEPT_STATUSES:
            refusals = [_whole(body, answer, media_type, size)]
        if refusals:
            metrics.count_refused(door, [refusal.status for refusal in refusals])
            key, name = _sender(sender)
            keep(refusals, door=door, sender=key, sender_name=name, at=at)
    except Exception:
        logger.exception("A refused report could not be kept.")


class KeepsRefused:
    """A view whose refusals are kept. It notes the body it has read in `body`."""

    door: str = ""  # nothing is kept where it has no name
    body: bytes | None = None
    media_type: str = JSON

    def handle_exception(self, exc: Exception) -> Response:
        """Answer what went wrong, and keep what was refused."""
        response: Response = super().handle_exception(exc)  # type: ignore[misc]
        if isinstance(exc, APIException) and response.status_code in KEPT_STATUSES:
            self.keep_refused(Answer(response.status_code, dict(response.data)))
        return response

    def keep_refused(self, answer: Answer) -> None:
        """Keep what was refused with this answer, unless it was a dry run or nobody knows who sent it."""
        request: Request = self.request  # type: ignore[attr-defined]
        if not self.door or not request.user.is_authenticated or _is_dry_run(request):
            return
        size = None
        if self.body is None:  # too long to be read, or broken off
            length = request.META.get("CONTENT_LENGTH") or ""
            size = int(length[:18]) if length.isascii() and length.isdigit() else 0
        keep_refused(
            self.door,
            body=self.body or b"",
            sender=request.user,
            answer=answer,
            at=timezone.now(),
            media_type=self.media_type,
            size=size,
        )


def answer_of(refusal: Exception) -> Answer:
    """Return how a refusal that was raised is answered."""
    response = answer_exception(refusal, {})
    return Answer(response.status_code, dict(response.data))


def _is_dry_run(request: Request) -> bool:
    return (request.query_params.get("dry_run") or "false").lower() not in ("false", "0")


def _sender(sender: Any) -> tuple[str, str]:
    """Return the key of a sender, and what it is called now."""
    source = getattr(sender, "source", None)
    key = f"webhook source {source.pk}" if source is not None else f"user {sender.pk}"
    return key, sender.get_username()


def _whole(body: bytes, answer: Answer, media_type: str, size: int | None) -> Refusal:
    told = answer.body
    event_id, call_id = _ids(body)
    return Refusal(
        body=body,
        status=answer.status,
        code=str(told.get("code", "")),
        detail=str(told.get("detail", "")),
        errors=told.get("errors"),
        media_type=media_type,
        event_id=event_id,
        call_id=call_id,
        size=size,
    )


def _member(raw: bytes, rejection: dict[str, Any]) -> Refusal:
    """Return one member of a batch; it is replayed by itself."""
    event_id, call_id = _ids(raw)
    return Refusal(
        body=raw.strip(),
        status=409 if rejection["code"] == "conflict" else 400,
        code=rejection["code"],
        detail=f"Rejected in a batch, at {rejection['index']}.",
        errors=rejection["errors"],
        event_id=event_id,
        call_id=call_id,
    )


def _ids(body: bytes) -> tuple[str | None, str | None]:
    """Return which event and call a body is about, where that can be told."""
    try:
        fields = parse_json(body) if len(body) <= MAX_EVENT_BYTES else None
    except InvalidJSON:
        return None, None
    if not isinstance(fields, dict):
        return None, None
    found = [fields.get("event_id"), fields.get("call_id", fields.get("sip_call_id"))]
    event_id, call_id = (
        str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None for value in found
    )
    return event_id, call_id
