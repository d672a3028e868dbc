"""The log of events, as it was reported. It is for looking at only."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from calls.admin.display import NOTHING, call_link, moment, plain, pretty, short, whole
from calls.admin.export import Column, ExportsCSV, plainly, utc
from calls.admin.filters import PeriodFilter, WordFilter
from calls.admin.looks import WritesLooksDown
from calls.admin.paging import KeysetAdmin, Search
from calls.admin.search import find_events
from calls.domain.vocabulary import EventType, Source
from calls.models import CallEvent


def is_end_of_its_call(event: CallEvent) -> bool:
    """Say whether the stored end of a call is this event."""
    return event.type == event.call.ended_by and event.occurred_at == event.call.ended_at


class ArrivalFilter(PeriodFilter):
    """When the event arrived; the list is in that order, but no index tells where a day begins in it."""

    title = "received"
    column = "received_at"
    fits_every_index = False

    def conditions(self) -> tuple[Q, Q]:
        """Return the range of the time, as something to be checked row by row."""
        served, _ = super().conditions()
        return Q(), served


class TypeFilter(WordFilter):
    """What happened; no index serves it."""

    title = "type"
    parameter_name = "type"
    words = [(word.value, plain(word)) for word in EventType]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the type, as something to be checked row by row."""
        return Q(), Q(type=word)


class SourceFilter(WordFilter):
    """Which vocabulary it came in; the unique index of ids begins with it, but is in another order."""

    title = "source"
    parameter_name = "source"
    words = [(word.value, plain(word)) for word in Source]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the source, as something to be checked row by row."""
        return Q(), Q(source=word)


@admin.register(CallEvent)
class CallEventAdmin(WritesLooksDown, ExportsCSV, KeysetAdmin):
    """Every event that was reported, the latest arrival first."""

    list_display = (
        "shown_event_id",
        "shown_call",
        "shown_event",
        "shown_calling_number",
        "shown_called_number",
        "created_at",
        "duration",
    )
    list_select_related = ("call",)
    list_defer = ("metadata", "call__notes")
    list_filter = (ArrivalFilter, TypeFilter, SourceFilter)
    export_name = "events"
    search_fields = ("event_id",)
    search_help_text = "Event id, call id or number"
    fieldsets = (
        ("Event", {"fields": (("whole_event_id", "shown_call"), ("whole_word", "type"), ("source", "user"))}),
        ("Time", {"fields": (("created_at", "heard_at"), "duration")}),
        ("Parties", {"fields": (("whole_calling_number", "whole_called_number"), ("direction", "call_type"))}),
        ("More", {"fields": (("cause", "whole_transfer_to"), "shown_metadata")}),
    )

    def search(self, text: str) -> Search:
        """Return the branches on which the events of an id or a number lie."""
        return find_events(text)

    def export_columns(self, request: HttpRequest) -> list[Column]:
        """Return what is written of each event, without its metadata."""
        return [
            plainly("event_id"),
            ("call_id", lambda event: event.call.external_id),
            plainly("word", "event"),
            *(plainly(name) for name in ("type", "source", "calling_number", "called_number")),
            utc("occurred_at"),
            utc("received_at"),
            plainly("cause"),
            plainly("transfer_to"),
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[CallEvent]", search_term: str
    ) -> tuple["QuerySet[CallEvent]", bool]:
        """Return the events with exactly this id, where Django itself asks."""
        return queryset.filter(event_id=search_term.strip()), False

    def has_change_permission(self, request: HttpRequest, obj: CallEvent | None = None) -> bool:
        """Refuse: what was reported stays as it was."""
        return False

    @admin.display(description="event id")
    def shown_event_id(self, event: CallEvent) -> SafeString | str:
        """Show the sender's id of the event."""
        return short(event.event_id, width=24)

    @admin.display(description="call id")
    def shown_call(self, event: CallEvent) -> SafeString:
        """Show the sender's id of the call, as a link to the call."""
        return call_link(event.call)

    @admin.display(description="event")
    def shown_event(self, event: CallEvent) -> SafeString | str:
        """Show the sender's own word, and ours for whoever points at it."""
        return format_html('<span title="{}">{}</span>', plain(event.type), event.word or plain(event.type))

    @admin.display(description="calling number")
    def shown_calling_number(self, event: CallEvent) -> SafeString | str:
        """Show the caller as reported."""
        return short(event.calling_number, width=24) or NOTHING

    @admin.display(description="called number")
    def shown_called_number(self, event: CallEvent) -> SafeString | str:
        """Show the called party as reported."""
        return short(event.called_number, width=24) or NOTHING

    @admin.display(description="created at (UTC)")
    def created_at(self, event: CallEvent) -> SafeString | str:
        """Show when it happened, by the sender's clock."""
        return moment(event.occurred_at)

    @admin.display(description="received at (UTC)")
    def heard_at(self, event: CallEvent) -> SafeString | str:
        """Show when it first arrived, by our clock."""
        return moment(event.received_at)

    @admin.display(description="duration")
    def duration(self, event: CallEvent) -> str:
        """Show the call's seconds from start to end, at the end of a completed call."""
        if event.call.duration is None or not is_end_of_its_call(event):
            return NOTHING
        return str(event.call.duration)

    # -- The event's page: nothing is cut there -------------------------------------------------

    @admin.display(description="event id")
    def whole_event_id(self, event: CallEvent) -> SafeString | str:
        """Show the sender's id of the event."""
        return whole(event.event_id)

    @admin.display(description="event")
    def whole_word(self, event: CallEvent) -> SafeString | str:
        """Show the sender's own word."""
        return whole(event.word)

    @admin.display(description="calling number")
    def whole_calling_number(self, event: CallEvent) -> SafeString | str:
        """Show the caller as reported."""
        return whole(event.calling_number)

    @admin.display(description="called number")
    def whole_called_number(self, event: CallEvent) -> SafeString | str:
        """Show the called party as reported."""
        return whole(event.called_number)

    @admin.display(description="transfer to")
    def whole_transfer_to(self, event: CallEvent) -> SafeString | str:
        """Show where the call was to go."""
        return whole(event.transfer_to)

    @admin.display(description="metadata")
    def shown_metadata(self, event: CallEvent) -> SafeString | str:
        """Show everything else that the sender said, as text."""
        return pretty(event.metadata)
