"""Refused reports: looked at, mended, sent through their door again, or dismissed."""

from typing import Any, TypeAlias

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from calls.admin.asking import AsksFirst, asks_first
from calls.admin.bodies import MendForm, as_text
from calls.admin.display import NOTHING, label, moment, plain, pretty, short, whole
from calls.admin.filters import WordFilter
from calls.admin.keyset import Branch
from calls.admin.paging import KeysetAdmin, Search
from calls.models import RefusedReport
from calls.models.quarantine import QuarantineState
from calls.operations.quarantine import NotOpen, dismiss, mend, replay
from calls.queries.quarantine import dropped

RIGHTS = ["calls.view_refusedreport", "calls.change_refusedreport"]
COLOURS = {QuarantineState.OPEN: "warning", QuarantineState.REPLAYED: "success", QuarantineState.DISMISSED: "default"}
Part: TypeAlias = tuple[str, Any]
OVERTAKEN = "Somebody else has replayed or dismissed this report meanwhile."


class StateFilter(WordFilter):
    """What has become of the report."""

    title = "state"
    parameter_name = "state"
    words = [(word.value, word.value) for word in QuarantineState]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the state, which an index holds."""
        return Q(state=word), Q()


class AnswerFilter(WordFilter):
    """What the sender was answered; no index serves it."""

    title = "answer"
    parameter_name = "answer"
    words = [("400", "400 wrong"), ("404", "404 unknown call"), ("409", "409 conflict"), ("413", "413 too large")]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the answer, as something to be checked row by row."""
        return Q(), Q(status=int(word))


@admin.register(RefusedReport)
class RefusedReportAdmin(AsksFirst, KeysetAdmin):
    """Every refused report, the latest first."""

    form = MendForm
    list_display = ("shown_state", "received", "shown_door", "shown_sender", "told", "shown_event_id", "times")
    list_display_links = ("shown_state", "received")
    list_defer = ("body", "mended_body", "errors", "replayed_answer")
    list_filter = (StateFilter, AnswerFilter)
    search_fields = ("event_id",)
    search_help_text = "Event id or call id, exactly"
    actions_detail = ("replay_it", "dismiss_it")
    report: Part = (
        "Refused report",
        {
            "fields": (
                ("shown_state", "shown_door"),
                ("shown_sender", "times"),
                ("received", "received_last"),
                ("told", "shown_size"),
                ("why",),
            )
        },
    )
    sent: Part = ("What was sent (secrets are masked)", {"fields": ("shown_body",)})
    mended: Part = ("What is replayed", {"fields": ("body_to_replay",)})
    outcome: Part = ("What became of it", {"fields": (("handled", "handled_when"), "replayed_told", "shown_mended")})

    def search(self, text: str) -> Search:
        """Return the branches on which the reports about an event or a call lie."""
        text = text.strip()
        return Search([Branch(Q(event_id=text)), Branch(Q(call_id=text))])

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[RefusedReport]", search_term: str
    ) -> tuple["QuerySet[RefusedReport]", bool]:
        """Return the reports about exactly this event, where Django itself asks."""
        return queryset.filter(event_id=search_term.strip()), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, and say whose reports there was no room for."""
        if self.has_view_permission(request):
            for one in dropped():
                last = f"{one.last_at:%Y-%m-%d %H:%M}" if one.last_at else "unknown"
                messages.warning(
                    request,
                    f"{one.count:,} reports of {one.sender} were not kept: its room was full (last {last} UTC).",
                )
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    # -- Who may do what ------------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: RefusedReport | None = None) -> bool:
        """Let those mend who have that right, as long as the report is open."""
        return request.user.has_perms(RIGHTS) and (obj is None or obj.state == QuarantineState.OPEN)

    def get_readonly_fields(self, request: HttpRequest, obj: RefusedReport | None = None) -> Any:
        """Return everything but the body to replay."""
        return flatten_fieldsets((self.report, self.sent, self.outcome))

    def get_fieldsets(self, request: HttpRequest, obj: RefusedReport | None = None) -> Any:
        """Return the parts of the page: what was sent, and what may be or was done about it."""
        parts = [self.report, self.sent]
        if self.has_change_permission(request, obj):
            parts.append(self.mended)
        if obj is not None and (obj.state != QuarantineState.OPEN or obj.replayed_status):
            parts.insert(1, self.outcome)
        return parts

    def save_model(self, request: HttpRequest, obj: RefusedReport, form: Form, change: bool) -> None:
        """Keep the mended body."""
        mended = form.cleaned_data["body_to_replay"]
        if mended != form.initial["body_to_replay"]:  # in `changed_data` other line ends would count too
            try:
                mend(obj, body=mended.encode())
            except NotOpen:
                messages.error(request, OVERTAKEN)

    @asks_first(
        button="Replay",
        question="The body, as it was mended and saved, goes through the door that refused it once more."
        " It is recorded as received now.",
        rights=RIGHTS,
        icon="replay",
        fits=lambda report: report.state == QuarantineState.OPEN,
    )
    def replay_it(self, request: HttpRequest, report: RefusedReport) -> None:
        """Send the report through its door, and show the answer."""
        try:
            status, answer = replay(report, user_id=request.user.pk or 0, at=timezone.now())
        except NotOpen:
            messages.error(request, OVERTAKEN)
            return
        self.log_change(request, report, f"Replayed: {status}.")
        if report.state == QuarantineState.REPLAYED:
            messages.success(request, f"Accepted: {_in_words(status, answer)}")
        else:
            messages.error(request, f"Refused again: {_in_words(status, answer)}")

    @asks_first(
        button="Dismiss",
        question="Nothing is to be done about this report. It is kept for some time, and makes room for others first.",
        rights=RIGHTS,
        icon="archive",
        fits=lambda report: report.state == QuarantineState.OPEN,
    )
    def dismiss_it(self, request: HttpRequest, report: RefusedReport) -> None:
        """Put the report aside."""
        try:
            dismiss(report, user_id=request.user.pk or 0, at=timezone.now())
        except NotOpen:
            messages.error(request, OVERTAKEN)
            return
        self.log_change(request, report, "Dismissed.")
        messages.success(request, "The report was dismissed.")

    # -- Columns and fields ---------------------------------------------------------------------

    @admin.display(description="state")
    def shown_state(self, report: RefusedReport) -> SafeString:
        """Show what has become of it."""
        return label(report.state, colour=COLOURS[QuarantineState(report.state)])

    @admin.display(description="first sent (UTC)")
    def received(self, report: RefusedReport) -> SafeString | str:
        """Show when it was refused first."""
        return moment(report.received_at)

    @admin.display(description="last sent (UTC)")
    def received_last(self, report: RefusedReport) -> SafeString | str:
        """Show when it was refused last."""
        return moment(report.last_received_at)

    @admin.display(description="door")
    def shown_door(self, report: RefusedReport) -> str:
        """Show where it was sent."""
        return plain(report.door)

    @admin.display(description="sender")
    def shown_sender(self, report: RefusedReport) -> SafeString | str:
        """Show who sent it, as it was called then, and its key for whoever points at it."""
        return format_html('<span title="{}">{}</span>', report.sender, short(report.sender_name, width=24))

    @admin.display(description="answer")
    def told(self, report: RefusedReport) -> str:
        """Show what the sender was answered."""
        return f"{report.status} {plain(report.code)}"

    @admin.display(description="event id")
    def shown_event_id(self, report: RefusedReport) -> SafeString | str:
        """Show which event it is about."""
        return short(report.event_id, width=24) if report.event_id else NOTHING

    @admin.display(description="size")
    def shown_size(self, report: RefusedReport) -> str:
        """Show how long it was, and whether all of it was kept."""
        return f"{report.size:,} bytes" + (", of which only the beginning was kept" if report.is_cut else "")

    @admin.display(description="why")
    def why(self, report: RefusedReport) -> SafeString | str:
        """Show what was wrong, field by field."""
        rows = [(name, " ".join(map(str, texts))) for name, texts in (report.errors or {}).items()]
        return format_html(
            "<p>{}</p>{}", whole(report.detail), format_html_join("", "<p><strong>{}:</strong> {}</p>", rows)
        )

    @admin.display(description="body")
    def shown_body(self, report: RefusedReport) -> SafeString | str:
        """Show what was sent, as text and nothing else."""
        return as_text(bytes(report.body))

    @admin.display(description="mended")
    def shown_mended(self, report: RefusedReport) -> SafeString | str:
        """Show what it was mended into."""
        return NOTHING if report.mended_body is None else as_text(bytes(report.mended_body))

    @admin.display(description="handled by")
    def handled(self, report: RefusedReport) -> str:
        """Show who replayed or dismissed it."""
        return str(report.handled_by or NOTHING)

    @admin.display(description="handled (UTC)")
    def handled_when(self, report: RefusedReport) -> SafeString | str:
        """Show when it was replayed or dismissed."""
        return moment(report.handled_at)

    @admin.display(description="answer to the replay")
    def replayed_told(self, report: RefusedReport) -> SafeString | str:
        """Show how the last replay was answered."""
        if report.replayed_status is None:
            return NOTHING
        return format_html("{} {}", report.replayed_status, pretty(report.replayed_answer))


def _in_words(status: int, answer: dict[str, Any]) -> str:
    """Return an answer in one line."""
    errors = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in (answer.get("errors") or {}).items())
    told = answer.get("detail") or answer.get("message") or answer.get("result") or ""
    return " ".join(str(part) for part in (status, told, errors) if part)
