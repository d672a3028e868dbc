"""What all buttons share: the call they are for, refusals as 409, and Idempotency-Key."""

import json
from collections.abc import Callable
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.api.representations import CallDetailRepresentation
from calls.domain.rules import NotPossible
from calls.models import Call
from calls.operations.control import Button, refused
from calls.operations.idempotency import KeyReused, StillInProgress, Told, once
from calls.operations.record import UnknownCall
from calls.queries.calls import find_call
from calls.web.errors import Conflict, Invalid, body_of
from calls.web.views import ReadsChunks

MAX_KEY_LENGTH = 255
NO_SUCH_CALL = "There is no such call."
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="A retry with the same key and body within 24 hours gets the first answer again.",
)


def the_call(text: str) -> Call:
    """Return the call that a path names, by our UUID or the external id; raise 404."""
    call = find_call(text)
    if call is None:
        raise NotFound(NO_SUCH_CALL)
    return call


class ButtonView(ReadsChunks, APIView):
    """A view that lets operators press a button."""

    rights = {"POST": "calls.operate_call"}

    def press(self, request: Request, act: Callable[[Button], Told]) -> Response:
        """Do what the button does, once for each Idempotency-Key; a refusal is a 409 with its reason."""
        button = Button(user_id=request.user.pk, at=timezone.now())

        def decide() -> Told:
            try:
                return act(button)
            except NotPossible as refusal:
                refused()
                return 409, body_of(str(refusal), "invalid_transition")
            except Conflict as conflict:
                refused()
                return conflict.status_code, body_of(str(conflict.detail), str(conflict.get_codes()))

        key = request.headers.get("Idempotency-Key")
        try:
            status, body = decide() if key is None else self._once(request, key, button, decide)
        except UnknownCall:  # it was erased since it was looked up
            raise NotFound(NO_SUCH_CALL) from None
        return Response(body, status=status)

    def _once(self, request: Request, key: str, button: Button, act: Callable[[], Told]) -> Told:
        if not key.strip() or not key.isprintable() or len(key) > MAX_KEY_LENGTH:
            raise Invalid({"Idempotency-Key": [f"Must have 1 to {MAX_KEY_LENGTH} printable characters."]})
        body = json.dumps([request.method, request.data], sort_keys=True, default=str).encode()
        try:
            return once(user_id=request.user.pk or 0, path=request.path, key=key, body=body, at=button.at, act=act)
        except KeyReused:
            raise Conflict(
                "This Idempotency-Key was used for a request with another body.", "idempotency_key_reused"
            ) from None
        except StillInProgress:
            raise Conflict(
                "The first request with this Idempotency-Key has no answer yet. Try again shortly.",
                "idempotency_key_in_progress",
            ) from None


def plain(data: Any) -> Any:
    """Return representation data as plain JSON values, which can be stored and answered again."""
    return json.loads(json.dumps(data, default=str))


def detail(call: Call) -> Any:
    """Return a call with its events and recordings, as it is answered."""
    return plain(CallDetailRepresentation(call).data)
