"""What sequences of events add up to: one table of events, one line of what must follow."""

from datetime import datetime

import pytest

from calls.domain.state import CallState, fold
from tests.build import at, read_table, seconds_of

OWN = ("+1202555",)


def shown(state: CallState, names: list[str]) -> dict[str, str]:
    """Return facets as the tables write them."""
    values = {}
    for name in names:
        value = state.anomalies.codes() if name == "anomalies" else getattr(state, name)
        if isinstance(value, datetime):
            value = next(text for text in TIMES if at(seconds_of(text)) == value)
        values[name] = ",".join(value) if isinstance(value, list) else str(value)
    return values


TIMES = [f"{second // 60}:{second % 60:02}" for second in range(600)]

SEQUENCES = {
    "a completed call": """
        0:00 initiated
        0:05 ringing
        0:10 answered
        2:00 ended
        = status=ended started_at=0:00 ringing_at=0:05 answered_at=0:10 ended_at=2:00 duration=120
        = ring_seconds=5 talk_seconds=110 hold_seconds=0 anomalies= version=4 cause=None direction=unknown
    """,
    "durations are rounded down": """
        0:00.9 initiated
        0:02.1 answered
        0:05.8 ended
        = duration=4 talk_seconds=3 ring_seconds=1
    """,
    "only a start": """
        0:00 initiated
        = status=initiated duration=None ring_seconds=None talk_seconds=None hold_seconds=None anomalies=
    """,
    "ringing": """
        0:00 initiated
        0:02 ringing
        = status=ringing ring_seconds=None
    """,
    "answered and going on": """
        0:00 initiated
        0:04 answered
        = status=answered ring_seconds=4 talk_seconds=None duration=None
    """,
    "never answered": """
        0:00 initiated
        0:30 ended
        = status=missed duration=None talk_seconds=None ring_seconds=30 hold_seconds=None
    """,
    "we called and nobody answered": """
        0:00 initiated way=outbound
        0:30 ended
        = status=no_answer direction=outbound
    """,
    "a caller who gave up is missed": """
        0:00 initiated way=inbound
        0:30 ended cause=q850:16
        = status=missed cause=q850:16
    """,
    "giving up ourselves is cancelled": """
        0:00 initiated way=outbound
        0:30 ended cause=sip:487
        = status=cancelled
    """,
    "busy": """
        0:00 initiated
        0:01 ended cause=busy
        = status=busy ended_at=0:01
    """,
    "an answered call has ended, whatever the cause says": """
        0:00 initiated
        0:01 answered
        0:09 ended cause=busy
        = status=ended cause=busy
    """,
    "failed": """
        0:00 initiated
        0:01 failed
        = status=failed duration=None
    """,
    "failed for a cause that is none": """
        0:00 initiated
        0:01 failed cause=ended
        = status=failed
    """,
    "a transfer by button that the server tells of afterwards is not odd": """
        0:00 initiated by=sip
        0:01 answered by=sip
        0:20 transfer_initiated by=api to=+12025550123
        0:20 transfer_completed by=api to=+12025550123
        0:21 transfer_initiated by=sip to=+12025550123
        0:21 transfer_completed by=sip to=+12025550123
        0:22 ended by=sip
        = status=transferred ended_at=0:20 anomalies=
    """,
    "a fact that a button told before and a report tells after the end is not odd": """
        0:00 initiated by=api
        0:01 answered by=api
        0:05 ended by=api
        0:06 initiated by=sip
        0:06 answered by=sip
        = status=ended anomalies=
    """,
    "a second start after the end is two starts and nothing more": """
        0:00 initiated
        0:01 answered
        0:05 ended
        0:09 initiated
        = anomalies=two_starts
    """,
    "a missing cause is taken from the next end": """
        0:00 initiated
        0:01 ended
        0:02 failed cause=sip:486
        0:03 ended cause=no_answer by=api
        = status=busy cause=sip:486 ended_at=0:01 anomalies=two_ends
    """,
    "on hold": """
        0:00 initiated
        0:01 answered
        0:10 hold
        = status=on_hold held=True
    """,
    "a hold beats a recording": """
        0:00 initiated
        0:01 answered
        0:05 recording_started
        0:10 hold
        = status=on_hold recording=True
    """,
    "recording": """
        0:00 initiated
        0:01 answered
        0:05 recording_started
        = status=recording
    """,
    "held, recorded and muted end with the call": """
        0:00 initiated
        0:01 answered
        0:05 recording_started
        0:05 muted
        0:10 hold
        1:10 ended
        = status=ended held=False recording=False muted=False hold_seconds=60 talk_seconds=69
    """,
    "holds add up, and a repeated hold is ignored": """
        0:00 initiated
        0:01 answered
        0:10 hold
        0:15 hold
        0:20 unhold
        0:25 unhold
        0:30 hold
        0:35 unhold
        1:00 ended
        = hold_seconds=15
    """,
    "a hold counts from the answer on": """
        0:00 initiated
        0:05 hold
        0:10 answered
        0:15 unhold
        1:00 ended
        = hold_seconds=5
    """,
    "muted and unmuted change no status": """
        0:00 initiated
        0:01 answered
        0:02 muted
        = status=answered muted=True
    """,
    "a stopped recording leaves the call answered": """
        0:00 initiated
        0:01 answered
        0:02 recording_started
        0:09 recording_stopped
        = status=answered recording=False
    """,
    "a recorder that stops after the end neither reopens the call nor is odd": """
        0:00 initiated
        0:01 answered
        0:02 recording_started
        0:09 ended
        0:10 recording_stopped
        = status=ended anomalies=
    """,
    "a transfer ends this leg, and the end of the leg that follows is not odd": """
        0:00 initiated
        0:01 answered
        0:20 transfer_initiated to=+12025550123
        0:21 transfer_completed
        0:22 ended
        = status=transferred transferred_to=+12025550123 duration=21 ended_at=0:21 anomalies=
    """,
    "a transfer that was only begun went nowhere": """
        0:00 initiated
        0:01 answered
        0:20 transfer_initiated to=+12025550123
        0:30 ended
        = status=ended transferred_to=None
    """,
    "legs that one server reports under one id ring, answer and end without being odd": """
        0:00 initiated by=asterisk
        0:01 ringing by=asterisk
        0:05 answered by=asterisk
        0:06 answered by=asterisk
        0:20 transfer_completed by=asterisk to=1002
        0:21 ringing by=asterisk
        0:25 answered by=asterisk
        0:26 hold by=freeswitch
        0:40 ended by=asterisk
        0:41 ended by=asterisk
        = status=transferred transferred_to=1002 duration=20 answered_at=0:05 anomalies=
    """,
    "the legs of one server beside the words of another are as odd as ever": """
        0:00 initiated by=asterisk
        0:05 answered by=asterisk
        0:06 answered by=sip
        0:40 ended by=asterisk
        0:41 dtmf by=sip
        = status=ended duration=40 anomalies=two_answers,event_after_end
    """,
    "a server that reports legs may contradict itself all the same": """
        0:10 initiated by=asterisk
        0:05 ended by=asterisk
        0:06 answered by=asterisk from=+12025550199
        = status=ended anomalies=answer_after_end,end_before_start,other_numbers
    """,
    "a late ringing reopens nothing": """
        0:00 initiated
        0:05 answered
        0:09 ended
        0:12 ringing
        = status=ended ringing_at=0:12 ring_seconds=0 anomalies=event_after_end
    """,
    "an answer dated after the end still completes the call": """
        0:00 initiated
        0:10 ended
        0:12 answered
        = status=ended duration=10 talk_seconds=0 answered_at=0:12 anomalies=answer_after_end
    """,
    "an end before the start": """
        0:10 initiated
        0:12 answered
        0:05 ended
        = status=ended started_at=0:10 duration=0 anomalies=answer_after_end,end_before_start
    """,
    "without a start the earliest event counts": """
        0:07 ringing
        0:10 answered
        0:30 ended
        = started_at=0:07 duration=23 anomalies=no_start
    """,
    "of two starts the earliest counts": """
        0:00 initiated
        0:03 initiated
        = started_at=0:00 anomalies=two_starts
    """,
    "the same start from a button and a webhook is not odd": """
        0:00 initiated by=api
        0:01 initiated by=sip
        0:05 answered by=sip
        0:06 answered by=api
        0:09 ended by=api
        0:10 ended by=sip
        = started_at=0:00 answered_at=0:05 ended_at=0:09 anomalies=
    """,
    "of two answers the earliest counts": """
        0:00 initiated
        0:03 answered
        0:05 answered
        = answered_at=0:03 anomalies=two_answers
    """,
    "of two ends the earliest counts": """
        0:00 initiated
        0:03 answered
        0:05 ended
        0:50 ended
        = ended_at=0:05 duration=5 anomalies=two_ends
    """,
    "events in one instant are taken in the order of their types": """
        0:00 ended
        0:00 answered
        0:00 initiated
        = status=ended duration=0 anomalies=
    """,
    "the numbers are those of the start": """
        0:00 ringing from=+12025550111
        0:01 initiated from=+12025550122
        = calling_number=+12025550122 anomalies=other_numbers
    """,
    "a number that is only written differently is the same number": """
        0:00 initiated from=+12025550122
        0:01 ringing from=+1(202)555-0122
        = calling_number=+12025550122 calling_as_sent=None anomalies=
    """,
    "what was sent is kept where it differs": """
        0:00 initiated from=tel:+1-202-555-0122 called=+0987654321
        = calling_number=+12025550122 calling_as_sent=tel:+1-202-555-0122 called_number=+0987654321
    """,
    "an event without numbers changes none": """
        0:00 initiated
        0:05 hold from= called=
        = calling_number=+1234567890 called_number=+9876543210 anomalies=
    """,
    "a sender whose clock is five minutes ahead": """
        0:00 initiated late=-300
        = anomalies=
    """,
    "a sender whose clock is more than five minutes ahead": """
        0:00 initiated late=-301
        = anomalies=future_time
    """,
    "only the caller is ours": """
        0:00 initiated from=+12025550100 called=+442079460000
        = direction=outbound
    """,
    "only the called is ours": """
        0:00 initiated from=+442079460000 called=+12025550100
        = direction=inbound
    """,
    "both are ours": """
        0:00 initiated from=+12025550100 called=+12025550101
        = direction=unknown
    """,
    "the first stated direction beats the numbers": """
        0:00 initiated from=+12025550100 called=+442079460000
        0:01 ringing way=inbound from=+12025550100 called=+442079460000
        0:02 answered way=outbound from=+12025550100 called=+442079460000
        = direction=inbound
    """,
    "whoever called out handles the call": """
        0:00 initiated by=api user=7 way=outbound
        0:05 answered by=api user=8
        = handled_by_id=7
    """,
    "whoever first answered handles an inbound call": """
        0:00 initiated by=api user=7 way=inbound
        0:05 answered by=api user=8
        0:06 answered by=api user=9
        = handled_by_id=8
    """,
    "the first stated type of call counts": """
        0:00 initiated
        0:01 ringing kind=video
        0:02 answered kind=voice
        = call_type=video
    """,
    "an assumed end": """
        0:00 initiated
        0:05 answered
        0:05 ended by=inferred
        = status=ended duration=None talk_seconds=None hold_seconds=None inferred_end=True anomalies=inferred_end
    """,
    "an assumed end of an unanswered call": """
        0:00 initiated
        0:05 ringing
        0:05 ended by=inferred
        = status=missed ring_seconds=None anomalies=inferred_end
    """,
    "a later event voids an assumed end": """
        0:00 initiated
        0:05 answered
        0:08 hold
        0:08 ended by=inferred
        0:18 unhold
        1:00 ended
        = status=ended ended_at=1:00 inferred_end=False duration=60 hold_seconds=10 anomalies=
    """,
    "a real end of the same instant beats an assumed one": """
        0:00 initiated
        0:05 answered
        0:05 ended by=inferred id=z
        0:05 ended id=a cause=busy
        = ended_at=0:05 inferred_end=False duration=5 anomalies=
    """,
    "a real end before an assumed one counts": """
        0:00 initiated
        0:05 answered
        0:09 dtmf
        0:09 ended by=inferred
        0:08 ended
        = ended_at=0:08 inferred_end=False duration=8 anomalies=event_after_end
    """,
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_adds_up_to(name: str) -> None:
    lines = [line.strip() for line in SEQUENCES[name].strip().splitlines()]
    events = read_table("\n".join(line for line in lines if not line.startswith("=")))
    expected = dict(
        part.split("=", 1) for line in lines if line.startswith("=") for part in line.removeprefix("=").split()
    )
    state = fold(events, own_numbers=OWN)
    assert shown(state, list(expected)) == expected
