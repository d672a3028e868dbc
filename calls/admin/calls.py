"""Calls, as their events add up. Only the notes of a call can be edited."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from calls.admin.addresses import number_link
from calls.admin.display import (
    NOTHING,
    anomaly_labels,
    anomaly_sentences,
    label,
    length,
    moment,
    number,
    plain,
    status_label,
    whole,
)
from calls.admin.explain import explained
from calls.admin.export import Column, ExportsCSV, plainly, utc
from calls.admin.filters import (
    AnomalyFilter,
    ClientFilter,
    CountryFilter,
    DirectionFilter,
    DurationFilter,
    PeriodFilter,
    ProgressFilter,
    StatusFilter,
)
from calls.admin.latest import other_calls_of
from calls.admin.looks import WritesLooksDown
from calls.admin.paging import KeysetAdmin, Search
from calls.admin.picture import picture_of
from calls.admin.player import recordings_of
from calls.admin.search import CALL_ORDER, exact_calls, find_calls
from calls.admin.span_filter import AnsweredFilter, SpanFilter
from calls.admin.timeline import EVENTS_A_PAGE, events_of, page_number, pages_of, timeline_of
from calls.domain.vocabulary import Anomaly
from calls.models import Call
from calls.models.access_log import Look
from calls.operations.access_log import looked_at
from calls.operations.annotate import annotate


@admin.register(Call)
class CallAdmin(WritesLooksDown, ExportsCSV, KeysetAdmin):
    """Every call, the latest start first."""

    class Media:
        """What the pictures need."""

        css = {"all": ["calls/analysis.css"]}

    keyset = CALL_ORDER
    list_display = ("shown_status", "direction", "calling", "called", "start", "shown_duration", "shown_anomalies")
    list_display_links = ("shown_status", "start")
    list_select_related = ("client", "handled_by")
    list_defer = ("notes", "client__notes")
    # The first one in use that an index serves leads to the calls; of a rare country that is the best one.
    list_filter = (
        SpanFilter,
        PeriodFilter,
        ClientFilter,
        CountryFilter,
        StatusFilter,
        ProgressFilter,
        AnsweredFilter,
        DirectionFilter,
        DurationFilter,
        AnomalyFilter,
    )
    export_name = "calls"
    search_fields = ("external_id",)
    search_help_text = "Number, how it begins, or call id"
    change_form_outer_before_template = "admin/calls/call/picture.html"
    change_form_outer_after_template = "admin/calls/call/below.html"
    fieldsets = (
        (
            "Call",
            {
                "fields": (
                    ("shown_status", "direction"),
                    ("calling", "called"),
                    ("client", "handled_by"),
                    ("shown_external_id", "id"),
                    "call_type",
                )
            },
        ),
        (
            "Times (UTC)",
            {
                "fields": (
                    ("start", "ringing"),
                    ("answer", "end"),
                    ("ended_how", "transferred_to"),
                    ("happening_now", "last_event"),
                )
            },
        ),
        (
            "Lengths",
            {"fields": (("shown_duration", "shown_ring_seconds"), ("shown_talk_seconds", "shown_hold_seconds"))},
        ),
        ("Notes", {"fields": ("notes", "call_quality_score")}),
        ("Record", {"fields": (("known_events", "heard_first"), "changed_last")}),
    )

    def search(self, text: str) -> Search:
        """Return the branches on which the calls of an id or a number lie."""
        return find_calls(text)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Call]", search_term: str
    ) -> tuple["QuerySet[Call]", bool]:
        """Return the calls with exactly this id, where Django itself asks."""
        return queryset.filter(exact_calls(search_term)), False

    def export_columns(self, request: HttpRequest) -> list[Column]:
        """Return what is written of each call; whose number it is only for those who may see clients."""
        sees_clients = request.user.has_perm("calls.view_client")
        return [
            plainly("external_id", "call_id"),
            *(plainly(name) for name in ("id", "status", "direction", "call_type", "calling_number", "called_number")),
            ("client", lambda call: call.client.name if sees_clients and call.client else ""),
            ("handled_by", lambda call: call.handled_by.get_username() if call.handled_by else ""),
            *(utc(name) for name in ("started_at", "ringing_at", "answered_at", "ended_at")),
            plainly("duration", "duration_seconds"),
            *(plainly(name) for name in ("ring_seconds", "talk_seconds", "hold_seconds")),
            # Building the state of every call would take a third of the time.
            ("transferred_to", lambda call: (call.transfer_target and call.state.transferred_to) or ""),
            plainly("cause"),
            ("anomalies", lambda call: " ".join(Anomaly(call.anomalies).codes()) if call.anomalies else ""),
        ]

    # -- Who may do what ------------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Call | None = None) -> bool:
        """Let those see calls who have that right."""
        return request.user.has_perm("calls.view_call")

    def has_change_permission(self, request: HttpRequest, obj: Call | None = None) -> bool:
        """Let those edit notes who have that right; nothing else of a call can be edited."""
        return self.has_view_permission(request, obj) and request.user.has_perm("calls.annotate_call")

    def get_readonly_fields(self, request: HttpRequest, obj: Call | None = None) -> Sequence[str]:
        """Return everything but the notes."""
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        return [name for name in shown if name != "notes"]

    def get_fieldsets(self, request: HttpRequest, obj: Call | None = None) -> Any:
        """Return the parts of the page; what is odd is one of them if anything is."""
        first, *others = self.fieldsets
        odd = [("What is odd", {"fields": ("sentences",)})] if obj is not None and obj.anomalies else []
        return [first, *odd, *others]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """Return the form, with a small field for the notes: most are short."""
        form = super().get_form(request, obj, change=change, **options)
        if "notes" in form.base_fields:
            form.base_fields["notes"].widget.attrs["rows"] = 4
        return form

    def save_model(self, request: HttpRequest, obj: Call, form: Form, change: bool) -> None:
        """Store the notes and nothing else."""
        if "notes" in form.changed_data:
            annotate(obj.pk, notes=form.cleaned_data["notes"], at=timezone.now())

    # -- The call's page ------------------------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Call | None = None, **options: Any
    ) -> HttpResponse:
        """Show the call together with its recordings and events."""
        if obj is not None:
            if request.user.has_perm("calls.view_callrecording"):
                context |= recordings_of(obj)
            context |= self._events_of(request, obj)
            context |= explained(obj)
            context["other_calls"] = other_calls_of(obj)
            parties = [obj.calling_number, obj.called_number]
            looked_at(request.user, filter(None, parties), what=Look.ADMIN_CALL, at=timezone.now(), call_id=obj.pk)
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **options)
        return response

    def _events_of(self, request: HttpRequest, call: Call) -> dict[str, Any]:
        """Return a page of the call's events, and the picture."""
        sees_events = request.user.has_perm("calls.view_callevent")
        page, pages = page_number(request.GET.get("events", ""), events=call.version), pages_of(call.version)
        events = events_of(call, page=page)
        context = {
            "picture": picture_of(call, events, at=timezone.now()),
            "timeline": timeline_of(call, events, linked=sees_events),
            "event_pages": pages > 1,
            "events_first": (page - 1) * EVENTS_A_PAGE + 1,
            "events_last": (page - 1) * EVENTS_A_PAGE + len(events),
            "events_before": page - 1,
            "events_after": page + 1 if page < pages else 0,
        }
        if sees_events:
            query = urlencode({"q": call.external_id})
            context["events_url"] = f"{reverse('admin:calls_callevent_changelist')}?{query}"
        return context

    # -- Columns and fields ---------------------------------------------------------------------

    @admin.display(description="status")
    def shown_status(self, call: Call) -> SafeString:
        """Show the status in its colour."""
        return status_label(call.status)

    @admin.display(description="call id")
    def shown_external_id(self, call: Call) -> SafeString | str:
        """Show the id that the outside knows the call by."""
        return whole(call.external_id)

    @admin.display(description="calling number")
    def calling(self, call: Call) -> SafeString | str:
        """Show who called."""
        return number_link(call.calling_number, call.calling_as_sent)

    @admin.display(description="called number")
    def called(self, call: Call) -> SafeString | str:
        """Show who was called."""
        return number_link(call.called_number, call.called_as_sent)

    @admin.display(description="start (UTC)")
    def start(self, call: Call) -> SafeString | str:
        """Show when the call began."""
        return moment(call.started_at)

    @admin.display(description="ringing")
    def ringing(self, call: Call) -> SafeString | str:
        """Show when it first rang."""
        return moment(call.ringing_at)

    @admin.display(description="answer")
    def answer(self, call: Call) -> SafeString | str:
        """Show when it was answered."""
        return moment(call.answered_at)

    @admin.display(description="end")
    def end(self, call: Call) -> SafeString | str:
        """Show when it ended, and whether that is only assumed."""
        if not call.state.inferred_end:
            return moment(call.ended_at)
        return format_html(
            "{} {}", moment(call.ended_at), label("assumed: no news came for too long", colour="warning")
        )

    @admin.display(description="ended by")
    def ended_how(self, call: Call) -> str:
        """Show what ended it, with the raw cause."""
        return f"{plain(call.ended_by)} (cause {call.cause})" if call.cause else plain(call.ended_by)

    @admin.display(description="transferred to")
    def transferred_to(self, call: Call) -> SafeString | str:
        """Show where it went."""
        return number(call.state.transferred_to or "")

    @admin.display(description="now")
    def happening_now(self, call: Call) -> str:
        """Show what is going on in the call."""
        state = call.state
        words = {"on hold": state.held, "recording": state.recording, "muted": state.muted}
        return ", ".join(word for word, going_on in words.items() if going_on) or NOTHING

    @admin.display(description="last event")
    def last_event(self, call: Call) -> SafeString | str:
        """Show when its last known event happened."""
        return moment(call.last_event_at)

    @admin.display(description="duration")
    def shown_duration(self, call: Call) -> SafeString | str:
        """Show how long it took from start to end, if it was completed."""
        return length(call.duration)

    @admin.display(description="ring time")
    def shown_ring_seconds(self, call: Call) -> SafeString | str:
        """Show how long it rang."""
        return length(call.ring_seconds)

    @admin.display(description="talk time")
    def shown_talk_seconds(self, call: Call) -> SafeString | str:
        """Show how long the parties were connected."""
        return length(call.talk_seconds)

    @admin.display(description="hold time")
    def shown_hold_seconds(self, call: Call) -> SafeString | str:
        """Show how much of that was on hold."""
        return length(call.hold_seconds)

    @admin.display(description="anomalies")
    def shown_anomalies(self, call: Call) -> SafeString | str:
        """Show what is odd, as labels."""
        return anomaly_labels(call.anomalies)

    @admin.display(description="anomalies")
    def sentences(self, call: Call) -> SafeString | str:
        """Show what is odd, in words."""
        return anomaly_sentences(call.anomalies)

    @admin.display(description="events")
    def known_events(self, call: Call) -> int:
        """Show how many events are known of it."""
        return call.version

    @admin.display(description="first heard of")
    def heard_first(self, call: Call) -> SafeString | str:
        """Show when the first event arrived here."""
        return moment(call.created_at)

    @admin.display(description="last changed")
    def changed_last(self, call: Call) -> SafeString | str:
        """Show when an event or a note last changed it."""
        return moment(call.updated_at)
