"""A call as a picture: bars to scale over an axis of time, as SVG that the template draws.

All places are in per cent of the width, so that bars shrink with the window and words do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from calls.admin.display import clock
from calls.domain.state import whole_seconds
from calls.domain.timeline import SHAPELESS, Kind, Stretch, stretches_of
from calls.models import Call, CallEvent
from calls.models.calls import EVENT_COLUMNS, event_from_row

# So many events that can begin or end a stretch are drawn, and so many stretches are also told in words.
CHANGES_AT_MOST = 2_000
WORDS_AT_MOST = 40
TICKS_AT_MOST = 6

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(count * _MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 2, 3, 6, 12)),
    *(count * _DAY for count in (1, 2, 7, 14, 30, 90, 180, 365, 730, 1_825, 3_650, 7_300)),
)
# What is drawn beside what, from above; lanes without a stretch are left out.
_LANES: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("Call", (Kind.SETUP, Kind.RING, Kind.TALK)),
    ("On hold", (Kind.HOLD,)),
    ("Muted", (Kind.MUTED,)),
    ("Recording", (Kind.RECORDING,)),
    ("Transfer", (Kind.TRANSFER,)),
)
_NAMES = {
    Kind.SETUP: "Being set up",
    Kind.RING: "Ringing",
    Kind.TALK: "Talking",
    Kind.HOLD: "On hold",
    Kind.MUTED: "Muted",
    Kind.RECORDING: "Recording",
    Kind.TRANSFER: "Being transferred",
}
_LANE_HEIGHT, _BAR_TOP, _BAR_HEIGHT, _AXIS_HEIGHT = 42, 18, 18, 24


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where an instant lies between the left edge and the right one."""

    begin: datetime
    end: datetime

    @property
    def width(self) -> timedelta:
        """How much time the picture shows."""
        return max(self.end - self.begin, timedelta(seconds=1))

    def place(self, at: datetime) -> float:
        """Return the place of an instant in per cent."""
        return round(100 * ((at - self.begin) / self.width), 3)

    def shows(self, at: datetime) -> bool:
        """Say whether an instant is in the picture."""
        return self.begin <= at <= self.end


def picture_of(call: Call, events: Sequence[CallEvent], *, at: datetime) -> dict[str, Any]:
    """Return what the template draws of a call: lanes of bars, marks for some events, ticks, and all in words.

    A call that is not over is drawn up to `at`.
    """
    changes, cut = _changes(call)
    # A clock ahead of ours may have dated the call's last event later than now.
    until = max(at, call.last_event_at)
    stretches = stretches_of(call.state, changes, until=until)
    scale = _Scale(min(one.begin for one in stretches), max(one.end for one in stretches))
    lanes = _lanes(stretches, scale)
    marks = [
        {"x": scale.place(event.occurred_at), "title": f"{event.word or event.type} {_after(call, event.occurred_at)}"}
        for event in events
        if scale.shows(event.occurred_at)
    ]
    bottom = len(lanes) * _LANE_HEIGHT
    return {
        "lanes": lanes,
        "marks": marks,
        "marks_top": bottom + 4,
        "marks_bottom": bottom + 14,
        "axis": bottom + 18,
        "ticks": _ticks(scale, call.started_at),
        "labels": bottom + 18 + _AXIS_HEIGHT - 6,
        "height": bottom + 18 + _AXIS_HEIGHT,
        "outside": len(events) - len(marks),
        "words": [_in_words(call, one) for one in stretches[:WORDS_AT_MOST]],
        "more_words": max(0, len(stretches) - WORDS_AT_MOST),
        "cut": CHANGES_AT_MOST if cut else 0,
    }


def _changes(call: Call) -> tuple[list[Any], bool]:
    """Return the call's first events that can begin or end a stretch, and whether there are more."""
    columns = [column for column in EVENT_COLUMNS if column != "metadata"]  # large, and no rule reads it
    rows = (
        CallEvent.objects.filter(call=call)
        .exclude(type__in=list(SHAPELESS))
        .order_by("occurred_at", "id")
        .values_list(*columns)[: CHANGES_AT_MOST + 1]
    )
    events = [event_from_row(call.external_id, [*row, None]) for row in rows]
    return events[:CHANGES_AT_MOST], len(events) > CHANGES_AT_MOST


def _lanes(stretches: Sequence[Stretch], scale: _Scale) -> list[dict[str, Any]]:
    found = [(title, [one for one in stretches if one.kind in kinds]) for title, kinds in _LANES]
    return [
        {
            "title": title,
            "label": place * _LANE_HEIGHT + _BAR_TOP - 5,
            "y": place * _LANE_HEIGHT + _BAR_TOP,
            "height": _BAR_HEIGHT,
            "bottom": place * _LANE_HEIGHT + _BAR_TOP + _BAR_HEIGHT,
            "bars": [
                {
                    "kind": one.kind.value,
                    "x": scale.place(one.begin),
                    "width": round(scale.place(one.end) - scale.place(one.begin), 3),
                    "going_on": one.going_on,
                    "title": f"{_NAMES[one.kind]}, {span(whole_seconds(one.length))}",
                }
                for one in bars
            ],
        }
        for place, (title, bars) in enumerate((title, bars) for title, bars in found if bars)
    ]


def _ticks(scale: _Scale, start: datetime) -> list[dict[str, Any]]:
    """Return the round lengths after the start that lie in the picture."""
    first, last = (scale.begin - start).total_seconds(), (scale.end - start).total_seconds()
    step = next((step for step in _STEPS if (last - first) / step <= TICKS_AT_MOST), _STEPS[-1])
    offsets = range(-int(-first // step) * step, int(last) + 1, step)
    ticks = [(scale.place(start + timedelta(seconds=passed)), tick_label(passed)) for passed in offsets]
    return [{"x": place, "label": label, "anchor": _anchor(place)} for place, label in ticks]


def _anchor(place: float) -> str:
    """Return to which side of its tick a label is written, so that none is cut at the edges."""
    return "start" if place < 4 else "end" if place > 96 else "middle"


def tick_label(seconds: int) -> str:
    """Return a length after the start as an axis shows it: 0:05, 1:00:00, 3 d."""
    sign, seconds = ("−", -seconds) if seconds < 0 else ("", seconds)
    if seconds >= _DAY and not seconds % _DAY:
        return f"{sign}{seconds // _DAY:,} d"
    return sign + clock(seconds)


def span(seconds: int) -> str:
    """Return a length in words: 5 s, 1:05, 3 d 1:02:05."""
    if seconds < _MINUTE:
        return f"{seconds} s"
    days, rest = divmod(seconds, _DAY)
    return f"{days:,} d {clock(rest)}" if days else clock(seconds)


def roughly(seconds: int) -> str:
    """Return a length as people say it: 5 s, 15 min, 14 h 18 min, 3 d 4 h."""
    for (large, name), (small, part) in (((_DAY, "d"), (_HOUR, "h")), ((_HOUR, "h"), (_MINUTE, "min"))):
        if seconds >= large:
            return f"{seconds // large:,} {name} {seconds % large // small} {part}"
    return f"{seconds // _MINUTE} min" if seconds >= _MINUTE else f"{seconds} s"


def _after(call: Call, at: datetime) -> str:
    passed = at - call.started_at
    return f"−{span(whole_seconds(-passed))}" if passed < timedelta() else f"+{span(whole_seconds(passed))}"


def _in_words(call: Call, one: Stretch) -> dict[str, Any]:
    """Return a stretch as a line of text."""
    begin, end = _after(call, one.begin), _after(call, one.end)
    length = span(whole_seconds(one.length))
    until = "until now" if one.going_on else f"to {end}"
    text = f"{_NAMES[one.kind]} from {begin} {until}: {length}"
    return {"kind": one.kind.value, "text": text}
