"""`record`, counted: what the doors call, so that each reported event shows in the metrics once it is committed."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from operator import attrgetter
from time import perf_counter
from typing import Any, NamedTuple

from calls.domain.events import Event
from calls.metrics import COMMIT, EVENTS, LAG, Later
from calls.operations import record as writing
from calls.operations.outcomes import Outcome, Result
from calls.operations.together import Tell

_SECOND = timedelta(seconds=1)
_source, _result = attrgetter("source"), attrgetter("result")


class _Recorded(NamedTuple):
    """One report or batch that went to the database, and how many seconds that took."""

    events: Sequence[Event]
    outcomes: Sequence[Outcome]
    seconds: float


def record(events: Sequence[Event], *, dry_run: bool = False, **options: Any) -> list[Outcome]:
    """Write reported events down as `operations.record.record` does, and have counted what became of them."""
    began = perf_counter()
    outcomes = writing.record(events, dry_run=dry_run, **options)
    if events and not dry_run:
        kept: Sequence[Outcome] = outcomes
        if options.get("together") and any(outcome.result is Result.CONFLICT for outcome in outcomes):
            kept = [Outcome(Result.CONFLICT)] * len(events)  # nothing of it was stored
        _later.add(_Recorded(events, kept, perf_counter() - began))
    return outcomes


def record_soon(events: Sequence[Event], tell: Tell[Outcome]) -> None:
    """Have an event written down as `operations.record.record_soon` does, and counted; not if it is a conflict.

    Whoever asks will ask again about a conflict.
    """
    began = perf_counter()

    def count_and_tell(outcomes: list[Outcome], error: BaseException | None) -> None:
        if error is None and outcomes[0].result is not Result.CONFLICT:
            _later.add(_Recorded(events, outcomes, perf_counter() - began))
        tell(outcomes, error)

    writing.record_soon(events, count_and_tell)


def _count(reports: list[_Recorded]) -> None:
    COMMIT.observe_many(report.seconds for report in reports)
    became: Counter[tuple[str, str]] = Counter()
    lags: dict[str, list[float]] = defaultdict(list)
    created = Result.CREATED  # looked up once: that takes longer than comparing
    for report in reports:
        became.update(zip(map(_source, report.events), map(_result, report.outcomes), strict=True))
        for event, outcome in zip(report.events, report.outcomes, strict=True):
            if outcome.result is created:
                lags[event.source].append((event.received_at - event.occurred_at) / _SECOND)
    for (source, result), times in became.items():
        EVENTS.labels(source, result).inc(times)
    for source, late in lags.items():
        LAG.labels(source).observe_many(lag if lag > 0 else 0.0 for lag in late)


_later = Later(_count)
