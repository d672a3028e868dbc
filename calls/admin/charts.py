"""Bars and lines as the numbers that an SVG needs: worked out here, drawn by the templates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from calls.queries.statistics import Counts

# Steps of an axis: its top is the smallest of these, times a power of ten, that no bar exceeds.
_STEPS = (1, 2, 4, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what stands under it, what it is in words, its counts, and those it is held against, if any."""

    label: str
    words: str
    counts: Counts
    before: Counts | None = None
    url: str = field(default="", kw_only=True)
    to_come: bool = field(default=False, kw_only=True)
    chosen: bool = field(default=False, kw_only=True)
    weekend: bool = field(default=False, kw_only=True)


def bars(shown: Sequence[Bar], *, every: int) -> dict[str, Any]:
    """Return a chart of bars, heights in per cent of its top; every so-manieth bar has a label."""
    highest = max((count.calls for bar in shown for count in (bar.counts, bar.before) if count), default=0)
    top = round_up(highest)
    return {
        "top": top,
        "middle": top // 2 if top % 2 == 0 else None,
        "compared": any(bar.before is not None for bar in shown),
        "bars": [
            {
                "bar": bar,
                "key": f"{bar.label}-{place}",
                "answered": share(bar.counts.answered, top),
                "missed": share(bar.counts.missed, top),
                "total": share(bar.counts.calls, top),
                "before": None if bar.before is None or not bar.before.calls else share(bar.before.calls, top),
                # A blank label would be no label: the last bars of a chart keep theirs free of the edge.
                "labelled": place % every == 0,
            }
            for place, bar in enumerate(shown)
        ],
    }


def round_up(highest: int) -> int:
    """Return a round number that is no smaller; at least 4, so that two calls are no tower."""
    power = 1
    while True:
        for step in _STEPS:
            if step * power >= max(4, highest):
                return step * power
        power *= 10


def share(part: int, whole: int) -> float:
    """Return a part in per cent of a whole, as a length to draw."""
    return round(100 * part / whole, 2) if whole else 0


def sparkline(values: Sequence[int | None]) -> dict[str, Any]:
    """Return thin bars of values, of which some may be unknown."""
    most = max((value for value in values if value is not None), default=0)
    return {
        "most": most,
        "width": len(values),
        "bars": [
            {"x": place, "height": max(4.0, share(value, most)) if value else 0, "value": value}
            for place, value in enumerate(values)
            if value is not None
        ],
    }
