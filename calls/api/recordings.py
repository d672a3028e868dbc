"""Recordings: `/api/recordings/`."""

import secrets
import tempfile
from typing import Any
from uuid import UUID

import django_filters
from django.conf import settings
from django.core.files.base import File
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils import timezone
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, UnsupportedMediaType
from rest_framework.generics import ListAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.api.fields import ExactFilter, Text
from calls.api.pages import KeysetPagination
from calls.api.representations import RecordingRepresentation
from calls.domain.recordings import RecordingStatus
from calls.models import CallRecording
from calls.models.access_log import Look
from calls.operations.access_log import looked_at
from calls.operations.recordings import UnknownRecording, attach_file, delete_recording, set_transcript
from calls.queries.recordings import of_call, with_words
from calls.web.bodies import copy_body
from calls.web.errors import Conflict, Invalid
from calls.web.ranges import file_response
from calls.web.schemas import errors
from calls.web.views import ReadsChunks

# The media types that a recorder may upload, and the names of their formats.
FORMATS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/webm": "webm",
    "audio/flac": "flac",
    "audio/amr": "amr",
    "audio/basic": "au",
    "video/mp4": "mp4",
    "video/webm": "webm",
}
MEDIA_TYPES = {name: kind for kind, name in reversed(FORMATS.items())}


class RecordingFilter(django_filters.FilterSet):
    """The filters of the list."""

    call = ExactFilter(method="by_call", help_text="Our UUID of the call, or its external id.")
    status = django_filters.ChoiceFilter(choices=[(word, word) for word in RecordingStatus])
    search = django_filters.CharFilter(method="by_words", help_text="Words of the transcript.")

    class Meta:
        model = CallRecording
        fields: tuple[str, ...] = ()

    def by_call(self, recordings: QuerySet[CallRecording], name: str, value: str) -> QuerySet[CallRecording]:
        """Keep the recordings of a call."""
        return of_call(recordings, value)

    def by_words(self, recordings: QuerySet[CallRecording], name: str, value: str) -> QuerySet[CallRecording]:
        """Keep the recordings in which these words were said."""
        return with_words(recordings, value)


class Recordings(ListAPIView[CallRecording]):
    """The list of recordings."""

    rights = {"GET": "calls.view_callrecording"}
    serializer_class = RecordingRepresentation
    pagination_class = KeysetPagination
    filter_backends = (DjangoFilterBackend,)
    filterset_class = RecordingFilter
    queryset = CallRecording.objects.order_by("-created_at", "-id")

    @extend_schema(
        operation_id="list_recordings",
        tags=["Recordings"],
        summary="List recordings",
        responses={200: RecordingRepresentation(many=True), **errors(400, 401, 403, 429, 503)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer with a page of recordings, newest first."""
        return self.list(request, *args, **kwargs)


class Transcript(serializers.Serializer[Any]):
    """What was said, and how sure the transcriber is."""

    transcript = Text(allow_blank=True, max_length=200_000)
    transcript_confidence = serializers.FloatField(min_value=0, max_value=1, required=False, allow_null=True)


def the_recording(id: UUID) -> CallRecording:
    """Return a recording; raise 404."""
    return get_object_or_404(CallRecording.objects.select_related("call"), pk=id)


def note_look(request: Request, recording: CallRecording) -> None:
    """Write down that somebody hears or reads what was said in a call."""
    call = recording.call
    parties = [call.calling_number, call.called_number]
    looked_at(request.user, filter(None, parties), what=Look.RECORDING, at=timezone.now(), call_id=call.pk)


class RecordingDetail(ReadsChunks, APIView):
    """One recording."""

    rights = {
        "GET": "calls.view_callrecording",
        "PATCH": "calls.change_callrecording",
        "DELETE": "calls.delete_callrecording",
    }

    @extend_schema(
        operation_id="get_recording",
        tags=["Recordings"],
        summary="One recording",
        responses={200: RecordingRepresentation, **errors(401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, id: UUID) -> Response:
        """Answer with the recording."""
        recording = the_recording(id)
        note_look(request, recording)
        return Response(RecordingRepresentation(recording).data)

    @extend_schema(
        operation_id="set_transcript",
        tags=["Recordings"],
        summary="Set the transcript of a recording",
        request=Transcript,
        responses={200: RecordingRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
    )
    def patch(self, request: Request, id: UUID) -> Response:
        """Set the transcript."""
        given = Transcript(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            changed = set_transcript(
                the_recording(id),
                transcript=given.validated_data["transcript"],
                confidence=given.validated_data.get("transcript_confidence"),
                at=timezone.now(),
            )
        except UnknownRecording:
            raise Conflict("The recording was deleted.", "invalid_transition") from None
        return Response(RecordingRepresentation(changed).data)

    @extend_schema(
        operation_id="delete_recording",
        tags=["Recordings"],
        summary="Delete a recording's file and transcript",
        description="A row that says when and why stays.",
        responses={204: None, **errors(401, 403, 404, 503)},
    )
    def delete(self, request: Request, id: UUID) -> Response:
        """Delete file and transcript."""
        delete_recording(the_recording(id), why=f"deleted by {request.user.get_username()}", at=timezone.now())
        return Response(status=204)


class RecordingFile(APIView):
    """The sound of a recording."""

    rights = {"GET": "calls.view_callrecording", "PUT": "calls.add_callrecording"}

    @extend_schema(
        operation_id="get_recording_file",
        tags=["Recordings"],
        summary="The sound of a recording",
        parameters=[
            OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="A part, such as `bytes=0-1023`.")
        ],
        responses={
            (200, "audio/*"): OpenApiTypes.BINARY,
            (206, "audio/*"): OpenApiTypes.BINARY,
            416: None,
            **errors(401, 403, 404, 429, 503),
        },
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        """Stream the file, or the part that is asked for."""
        recording = the_recording(id)
        if not recording.has_file:
            elsewhere = f" It is kept at {recording.file_url}." if recording.file_url else ""
            raise NotFound(f"We have no file of this recording.{elsewhere}")
        try:
            file = recording.file.storage.open(str(recording.file.name))
        except FileNotFoundError:
            raise NotFound("The file of this recording is gone.") from None
        note_look(request, recording)
        return file_response(
            file,
            size=file.size,
            content_type=MEDIA_TYPES.get(recording.format, "application/octet-stream"),
            range_header=request.headers.get("Range"),
        )

    @extend_schema(
        operation_id="put_recording_file",
        tags=["Recordings"],
        summary="Upload the sound of a recording",
        request=dict.fromkeys(FORMATS, OpenApiTypes.BINARY),
        responses={200: RecordingRepresentation, **errors(400, 401, 403, 404, 409, 411, 413, 415, 503)},
    )
    def put(self, request: Request, id: UUID) -> Response:
        """Keep the file; the recording is then completed."""
        kind = (request._request.content_type or "").lower()
        if kind not in FORMATS:
            raise UnsupportedMediaType(kind, detail=f"Send one of {', '.join(FORMATS)}.")
        recording = the_recording(id)
        with tempfile.TemporaryFile() as sound:
            size = copy_body(request._request, sound, limit=settings.MAX_RECORDING_BYTES)
            if not size:
                raise Invalid({"non_field_errors": ["The file is empty."]})
            sound.seek(0)
            # The last part keeps two uploads at once apart, whatever the storage does about equal names.
            name = f"{recording.pk}-{secrets.token_hex(4)}.{FORMATS[kind]}"
            try:
                changed = attach_file(recording, File(sound), name=name, format=FORMATS[kind], at=timezone.now())
            except UnknownRecording:
                raise Conflict("The recording was deleted.", "invalid_transition") from None
        return Response(RecordingRepresentation(changed).data)
