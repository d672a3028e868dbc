"""Recordings: to be listened to and read, and deleted by those who may."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from calls.admin.asking import AsksFirst, asks_first
from calls.admin.display import NOTHING, call_link, length, moment, plain, whole
from calls.admin.export import Column, ExportsCSV, plainly, utc
from calls.admin.filters import PeriodFilter, WordFilter
from calls.admin.paging import KeysetAdmin, Search
from calls.admin.player import player, progress, size
from calls.admin.search import find_recordings, uuids_in
from calls.domain.recordings import RecordingStatus
from calls.models import CallRecording
from calls.models.access_log import Look
from calls.operations.access_log import looked_at
from calls.operations.recordings import delete_recording


class CreationFilter(PeriodFilter):
    """When the recording was first heard of."""

    title = "created"
    column = "created_at"


class ProgressFilter(WordFilter):
    """How far the recording has come; no index serves it."""

    title = "status"
    parameter_name = "status"
    words = [(word.value, plain(word)) for word in RecordingStatus]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the status, as something to be checked row by row."""
        return Q(), Q(status=word)


@admin.register(CallRecording)
class CallRecordingAdmin(AsksFirst, ExportsCSV, KeysetAdmin):
    """Every recording, the latest first."""

    keyset = ("created_at", "id")
    list_display = ("shown_status", "shown_call", "shown_duration", "shown_size", "shown_format", "created")
    list_display_links = ("shown_status", "created")
    list_select_related = ("call",)
    list_defer = ("transcript", "call__notes")
    list_filter = (CreationFilter, ProgressFilter)
    export_name = "recordings"
    search_fields = ("id",)
    search_help_text = "Call id or number"
    actions_detail = ("delete_file_and_transcript",)
    fieldsets = (
        (
            "Recording",
            {
                "fields": (
                    "listen",
                    ("shown_status", "shown_call"),
                    ("shown_duration", "shown_size"),
                    ("shown_format", "path"),
                    ("created", "changed"),
                )
            },
        ),
        ("Transcript", {"fields": ("shown_transcript", "confidence")}),
    )
    deletion = ("Deletion", {"fields": (("deleted", "reason"),)})

    def search(self, text: str) -> Search:
        """Return the branches on which the recordings of a call or a number lie."""
        return find_recordings(text)

    def export_columns(self, request: HttpRequest) -> list[Column]:
        """Return what is written of each recording, without what was said."""
        return [
            plainly("id"),
            ("call_id", lambda recording: recording.call.external_id),
            plainly("status"),
            utc("created_at"),
            utc("updated_at"),
            plainly("duration", "duration_seconds"),
            plainly("file_size", "file_size_bytes"),
            *(plainly(name) for name in ("format", "file_url", "file_path", "transcript_confidence")),
            utc("deleted_at"),
            plainly("deleted_why"),
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[CallRecording]", search_term: str
    ) -> tuple["QuerySet[CallRecording]", bool]:
        """Return the recording with exactly this id, where Django itself asks."""
        return queryset.filter(pk__in=uuids_in(search_term)), False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[CallRecording]":
        """Return the recordings together with their calls."""
        found: QuerySet[CallRecording] = super().get_queryset(request).select_related("call")
        return found

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        *args: Any,
        obj: CallRecording | None = None,
        **options: Any,
    ) -> HttpResponse:
        """Show the recording with what was said, and write down who looked."""
        if obj is not None:
            parties = [obj.call.calling_number, obj.call.called_number]
            looked_at(request.user, filter(None, parties), what=Look.RECORDING, at=timezone.now(), call_id=obj.call_id)
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **options)
        return response

    def has_change_permission(self, request: HttpRequest, obj: CallRecording | None = None) -> bool:
        """Refuse: recorders report what there is."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: CallRecording | None = None) -> Sequence[object]:
        """Return the parts of the page; what was deleted says so first."""
        is_deleted = obj is not None and obj.status == RecordingStatus.DELETED
        return (self.deletion, self.fieldsets[0]) if is_deleted else self.fieldsets

    @asks_first(
        button="Delete file and transcript",
        question="What was said is then gone for good. A row that says when and by whom it was deleted stays.",
        rights=["calls.view_callrecording", "calls.delete_callrecording"],
        icon="delete",
        dangerous=True,
        fits=lambda recording: recording.status != RecordingStatus.DELETED,
    )
    def delete_file_and_transcript(self, request: HttpRequest, recording: CallRecording) -> None:
        """Delete what was said, and say by whom."""
        why = f"deleted by {request.user.get_username()}"
        if delete_recording(recording, why=why, at=timezone.now()):
            self.log_change(request, recording, "Deleted file and transcript.")
            messages.success(request, "File and transcript were deleted.")
        else:
            messages.info(request, "File and transcript had been deleted before.")

    # -- Columns and fields ---------------------------------------------------------------------

    @admin.display(description="status")
    def shown_status(self, recording: CallRecording) -> SafeString:
        """Show how far it has come."""
        return progress(recording)

    @admin.display(description="call id")
    def shown_call(self, recording: CallRecording) -> SafeString:
        """Show the sender's id of the call, as a link to the call."""
        return call_link(recording.call)

    @admin.display(description="duration")
    def shown_duration(self, recording: CallRecording) -> SafeString | str:
        """Show how long it is."""
        return length(recording.duration)

    @admin.display(description="size")
    def shown_size(self, recording: CallRecording) -> str:
        """Show how large its file is."""
        return size(recording)

    @admin.display(description="format")
    def shown_format(self, recording: CallRecording) -> str:
        """Show what its file is."""
        return recording.format or NOTHING

    @admin.display(description="created (UTC)")
    def created(self, recording: CallRecording) -> SafeString | str:
        """Show when it was first heard of."""
        return moment(recording.created_at)

    @admin.display(description="last changed (UTC)")
    def changed(self, recording: CallRecording) -> SafeString | str:
        """Show when a report or a person last changed it."""
        return moment(recording.updated_at)

    @admin.display(description="sound")
    def listen(self, recording: CallRecording) -> SafeString:
        """Show a player."""
        return player(recording)

    @admin.display(description="path at the recorder")
    def path(self, recording: CallRecording) -> SafeString | str:
        """Show where the recorder says that it is."""
        return whole(recording.file_path)

    @admin.display(description="what was said")
    def shown_transcript(self, recording: CallRecording) -> SafeString | str:
        """Show what was said, as nothing but text."""
        if not recording.transcript:
            return NOTHING
        return format_html(
            '<div class="overflow-auto" style="max-height: 32rem; white-space: pre-wrap; overflow-wrap: anywhere">'
            "{}</div>",
            recording.transcript,
        )

    @admin.display(description="confidence")
    def confidence(self, recording: CallRecording) -> str:
        """Show how sure the transcriber is."""
        sure = recording.transcript_confidence
        return NOTHING if sure is None else f"{sure:.0%}"

    @admin.display(description="deleted (UTC)")
    def deleted(self, recording: CallRecording) -> SafeString | str:
        """Show when file and transcript were deleted."""
        return moment(recording.deleted_at)

    @admin.display(description="why")
    def reason(self, recording: CallRecording) -> SafeString | str:
        """Show by whom or why they were deleted."""
        return whole(recording.deleted_why)
