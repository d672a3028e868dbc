"""`record`, counted: what the doors call, so that each reported event shows in the metrics once it is committed."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from time import perf_counter
from typing import Any, NamedTuple

from calls.domain.events import Event
from calls.metrics import COMMIT, EVENTS, LAG, Later
from calls.operations import record as writing
from calls.operations.record import Outcome, Result


class _Recorded(NamedTuple):
    """One report or batch that went to the database, and how many seconds that took."""

    events: Sequence[Event]
    outcomes: Sequence[Outcome]
    seconds: float


def record(events: Sequence[Event], *, dry_run: bool = False, final: bool = True, **options: Any) -> list[Outcome]:
    """Write reported events down as `operations.record.record` does, and have counted what became of them.

    Where this is not `final`, a conflict is not counted: whoever asks will ask again.
    """
    began = perf_counter()
    outcomes = writing.record(events, dry_run=dry_run, **options)
    if events and not dry_run and (final or outcomes[0].result is not Result.CONFLICT):
        kept: Sequence[Outcome] = outcomes
        if options.get("together") and any(outcome.result is Result.CONFLICT for outcome in outcomes):
            kept = [Outcome(Result.CONFLICT)] * len(events)  # nothing of it was stored
        _later.add(_Recorded(events, kept, perf_counter() - began))
    return outcomes


def _count(reports: list[_Recorded]) -> None:
    COMMIT.observe_many(report.seconds for report in reports)
    became: Counter[tuple[str, str]] = Counter()
    lags: dict[str, list[float]] = defaultdict(list)
    for report in reports:
        for event, outcome in zip(report.events, report.outcomes, strict=True):
            became[(event.source, outcome.result)] += 1
            if outcome.result is Result.CREATED:
                lags[event.source].append(max(0.0, (event.received_at - event.occurred_at).total_seconds()))
    for (source, result), times in became.items():
        EVENTS.labels(source, result).inc(times)
    for source, late in lags.items():
        LAG.labels(source).observe_many(late)


_later = Later(_count)
