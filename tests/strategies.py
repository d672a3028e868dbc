"""Any set of events that a call may have, however odd, for property tests."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from calls.domain.events import Event
from calls.domain.vocabulary import CallType, Direction, EventType, Source
from tests.build import CALLEE, CALLER, NOON, at, build_event

# The first and the last second that we accept: durations may be as long as lies between them.
FIRST = (datetime(1970, 1, 1, tzinfo=UTC) - NOON).total_seconds()
LAST = (datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC) - NOON).total_seconds()
# Few instants, so that events often share one; some apart by less than a second.
INSTANTS = st.sampled_from([0, 0, 1, 2, 2.5, 2.9, 3, 10, 400, FIRST, LAST])
CAUSES = st.sampled_from([None, None, "busy", "q850:16", "q850:21", "sip:486", "sip:503", "cancelled"])
NUMBERS = st.sampled_from([CALLER, CALLER, CALLER, "+12025550123", ""])


@st.composite
def any_event(draw: Any, event_id: str = "") -> Event:
    """One event of any type, from anybody."""
    kind = draw(st.sampled_from(list(EventType)))
    source = draw(st.sampled_from([Source.PROCESS_EVENTS, Source.PROCESS_EVENTS, Source.SIP, Source.API]))
    if kind is EventType.ENDED and draw(st.integers(0, 4)) == 0:
        source = Source.INFERRED
    ends = kind in (EventType.ENDED, EventType.FAILED, EventType.TRANSFER_COMPLETED)
    moment = draw(INSTANTS)
    return build_event(
        kind,
        moment,
        event_id=event_id or draw(st.uuids()).hex,
        source=source,
        received_at=at(moment - draw(st.sampled_from([0, 0, 0, 301]))),
        calling_number=draw(NUMBERS),
        called_number=draw(st.sampled_from([CALLEE, CALLEE, ""])),
        direction=draw(st.sampled_from([None, None, None, *Direction])),
        call_type=draw(st.sampled_from([None, None, *CallType])),
        cause=draw(CAUSES) if ends and source is not Source.INFERRED else None,
        transfer_to=draw(st.sampled_from([None, "+12025550199", "100"])) if kind.startswith("transfer") else None,
        metadata=draw(st.sampled_from([{}, {"a": [1, {"b": "ü"}]}])),
    )


@st.composite
def event_sets(draw: Any, *, most: int = 12) -> list[Event]:
    """A set of events of one call, each with an id of its own."""
    count = draw(st.integers(1, most))
    return [draw(any_event(f"event-{place}")) for place in range(count)]


@st.composite
def deliveries(draw: Any, events: list[Event]) -> list[list[Event]]:
    """The events in any order, some more than once, in batches of any size."""
    repeated = draw(st.lists(st.sampled_from(events), max_size=6))
    order = draw(st.permutations([*events, *repeated]))
    batches: list[list[Event]] = [[]]
    for event in order:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(event)
    return [batch for batch in batches if batch]
