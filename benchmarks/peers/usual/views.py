"""The usual view: a ModelSerializer, a transaction, the call under a lock, saved again."""

from typing import Any

from django.db import transaction
from knox.crypto import hash_token
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.peers.usual.models import Call, CallEvent
from calls.models import AccessToken
from calls.web.parsers import StrictJSONParser


class EventSerializer(serializers.ModelSerializer):
    """An event as it comes in; the serializer also finds ids that were used before."""

    call_id = serializers.CharField(max_length=255)
    calling_number = serializers.RegexField(r"^\+[1-9][0-9]{1,14}$")
    called_number = serializers.RegexField(r"^\+[1-9][0-9]{1,14}$")
    event = serializers.ChoiceField(("INITIATE", "ANSWER", "DISCONNECT"))

    class Meta:
        model = CallEvent
        fields = ("event_id", "call_id", "event", "calling_number", "called_number", "created_at")


class LookedUp(BaseAuthentication):
    """The token's owner, by one query with a join."""

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        """Return the owner of the token in the header."""
        key = request.META["HTTP_AUTHORIZATION"].split()[1]
        token = AccessToken.objects.select_related("user").get(digest=hash_token(key))
        return token.user, token


class UsualEvents(APIView):
    """Take one event."""

    authentication_classes = (LookedUp,)
    parser_classes = (StrictJSONParser,)
    rights = {"POST": "calls.add_callevent"}

    def post(self, request: Request) -> Response:
        """Validate, store and answer."""
        serializer = EventSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        said = serializer.validated_data
        with transaction.atomic():
            call, _ = Call.objects.get_or_create(
                call_id=said["call_id"],
                defaults={"calling_number": said["calling_number"], "called_number": said["called_number"]},
            )
            call = Call.objects.select_for_update().get(pk=call.pk)
            CallEvent.objects.create(
                event_id=said["event_id"], call=call, event=said["event"], created_at=said["created_at"]
            )
            advance(call, said["event"], said["created_at"])
            call.save()
        return Response(
            {"event_id": said["event_id"], "call_id": call.call_id, "result": "created", "call_status": call.status}
        )


def advance(call: Call, event: str, at: Any) -> None:
    """Take the event into the call."""
    if event == "INITIATE":
        call.started_at = at
    elif event == "ANSWER":
        call.answered_at, call.status = at, "answered"
    else:
        call.ended_at = at
        call.status = "ended" if call.answered_at else "missed"
    if call.started_at and call.answered_at and call.ended_at:
        call.duration = max(0, int((call.ended_at - call.started_at).total_seconds()))
