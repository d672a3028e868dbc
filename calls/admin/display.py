"""How single values look: times, lengths, numbers, labels. Everything that came from outside is escaped."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from calls.domain.numbers import formatted, region_of
from calls.domain.state import whole_seconds
from calls.domain.vocabulary import ANOMALY_SENTENCES, Anomaly, CallStatus
from calls.models import Call

NOTHING = "-"
STATUS_COLOURS: dict[CallStatus, str] = {
    CallStatus.INITIATED: "info",
    CallStatus.RINGING: "info",
    CallStatus.ANSWERED: "primary",
    CallStatus.RECORDING: "primary",
    CallStatus.ON_HOLD: "primary",
    CallStatus.ENDED: "success",
    CallStatus.TRANSFERRED: "success",
    CallStatus.MISSED: "danger",
    CallStatus.NO_ANSWER: "warning",
    CallStatus.BUSY: "warning",
    CallStatus.CANCELLED: "default",
    CallStatus.FAILED: "danger",
}


def label(text: str, *, colour: str = "default", title: str = "") -> SafeString:
    """Return a text in a coloured frame, with a sentence that shows when it is pointed at."""
    context = {"text": text, "type": colour, "label_title": title}
    return render_to_string("unfold/helpers/label.html", context)


def status_label(status: str) -> SafeString:
    """Return a status in its colour."""
    return label(plain(status), colour=STATUS_COLOURS[CallStatus(status)])


def plain(word: str | None) -> str:
    """Return a word of the vocabulary as people write it."""
    return (word or NOTHING).replace("_", " ")


def anomaly_labels(anomalies: int) -> SafeString | str:
    """Return the codes of what is odd as labels, each with its sentence for whoever points at it."""
    found = [
        (label(plain(one.code), colour="warning", title=ANOMALY_SENTENCES[one]),)
        for one in Anomaly
        if one in Anomaly(anomalies)
    ]
    return format_html_join(" ", "{}", found) if found else NOTHING


def anomaly_sentences(anomalies: int) -> SafeString | str:
    """Return what is odd in words, one sentence a line."""
    found = [
        (label(plain(one.code), colour="warning"), ANOMALY_SENTENCES[one])
        for one in Anomaly
        if one in Anomaly(anomalies)
    ]
    return format_html_join("", '<p class="mb-2">{} {}</p>', found) if found else NOTHING


def moment(at: datetime | None) -> SafeString | str:
    """Return a time in UTC to the second, exact for whoever points at it."""
    if at is None:
        return NOTHING
    at = at.astimezone(UTC)
    return format_html(
        '<time datetime="{0}" title="{0}" class="whitespace-nowrap">{1}</time>',
        at.isoformat().replace("+00:00", "Z"),
        f"{at:%Y-%m-%d %H:%M:%S}",
    )


def clock(seconds: int) -> str:
    """Return a number of seconds as 1:05, or 1:02:05 from an hour on."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def length(seconds: int | None) -> SafeString | str:
    """Return a length for people, with the plain seconds behind it."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return format_html('<span class="whitespace-nowrap">{} s</span>', seconds)
    return format_html(
        '<span class="whitespace-nowrap">{} <span class="text-subtle">({} s)</span></span>', clock(seconds), seconds
    )


def offset(passed: timedelta) -> str:
    """Return how long after the start something was, as +0:05; before the start it is −0:05."""
    if passed < timedelta():
        return "−" + clock(whole_seconds(-passed))
    return "+" + clock(whole_seconds(passed))


def number(address: str, as_sent: str | None = None) -> SafeString | str:
    """Return a number spaced for reading, with its country, and as it was sent where that differs."""
    if not address:
        return NOTHING
    region = region_of(address)
    return format_html(
        '<span title="{}" class="whitespace-nowrap">{}{}</span>',
        address if as_sent is None else f"{address} (sent as {as_sent})",
        short(formatted(address), width=24),
        format_html(' <span class="text-subtle text-xs">{}</span>', region) if region else "",
    )


def short(text: str, *, width: int) -> SafeString | str:
    """Return a text of foreign length, cut to so many characters where it is longer; whole for whoever points at it."""
    if len(text) <= width:
        return text
    return format_html(
        '<span title="{0}" class="align-middle inline-block truncate" style="max-width: {1}ch">{0}</span>', text, width
    )


def whole(text: str | None) -> SafeString | str:
    """Return a text of foreign length, whole and on as many lines as it takes."""
    return format_html('<span style="overflow-wrap: anywhere">{}</span>', text) if text else NOTHING


def link(url: str, text: str) -> SafeString:
    """Return a text as a link."""
    return format_html('<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>', url, text)


def call_link(call: Call) -> SafeString:
    """Return the sender's id of a call, as a link to its page."""
    return link(reverse("admin:calls_call_change", args=[call.pk]), short(call.external_id, width=24))


def pretty(metadata: dict[str, Any] | None, *, one_line: int = 0) -> SafeString | str:
    """Return what else a sender said as JSON, indented if longer than `one_line`, and as nothing but text."""
    if not metadata:
        return NOTHING
    line = json.dumps(metadata, ensure_ascii=False)
    return format_html(
        '<pre class="overflow-auto text-xs" style="max-height: 24rem; white-space: pre-wrap; overflow-wrap: anywhere">'
        "{}</pre>",
        line if len(line) <= one_line else json.dumps(metadata, indent=2, ensure_ascii=False),
    )
