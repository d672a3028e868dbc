"""Which requests are possible for which calls, and what they become."""

import pytest

from calls.domain import rules
from calls.domain.rules import NotPossible, Step, moment_after
from calls.domain.state import CallState, fold
from calls.domain.vocabulary import CallStatus, EventType
from tests.build import at, read_table

CALLS = {
    "initiated": "0:00 initiated",
    "ringing": "0:00 initiated\n0:01 ringing",
    "answered": "0:00 initiated\n0:02 answered",
    "on_hold": "0:00 initiated\n0:02 answered\n0:03 hold",
    "recording": "0:00 initiated\n0:02 answered\n0:03 recording_started",
    "held_recording": "0:00 initiated\n0:02 answered\n0:03 recording_started\n0:04 hold",
    "ended": "0:00 initiated\n0:02 answered\n0:09 ended",
    "missed": "0:00 initiated\n0:09 ended",
    "transferred": "0:00 initiated\n0:02 answered\n0:09 transfer_completed to=+12025550100",
}


def call(name: str) -> CallState:
    return fold(read_table(CALLS[name]))


def became(steps: list[Step]) -> str:
    return " ".join(f"{step.type}:{step.cause}" if step.cause else str(step.type) for step in steps)


BUTTONS = {
    "end": rules.end,
    "toggle_hold": rules.toggle_hold,
    "start_recording": rules.start_recording,
    "stop_recording": rules.stop_recording,
    "transfer": lambda state: rules.transfer(state, transfer_to="+12025550100"),
}

# What each button becomes for a call in each state; a dash is a refusal.
TABLE = """
    call            end              toggle_hold  start_recording    stop_recording     transfer
    initiated       ended:cancelled  -            -                  -                  -
    ringing         ended:cancelled  -            -                  -                  -
    answered        ended            hold         recording_started  -                  transfer_initiated+transfer_completed
    on_hold         ended            unhold       recording_started  -                  transfer_initiated+transfer_completed
    recording       ended            hold         -                  recording_stopped  transfer_initiated+transfer_completed
    held_recording  ended            unhold       -                  recording_stopped  transfer_initiated+transfer_completed
    ended           -                -            -                  -                  -
    missed          -                -            -                  -                  -
    transferred     -                -            -                  -                  -
"""  # noqa: E501
HEADER, *ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
@pytest.mark.parametrize("button", HEADER[1:])
def test_a_button_becomes(button: str, row: list[str]) -> None:
    expected = row[HEADER.index(button)].replace("+", " ")
    if expected == "-":
        with pytest.raises(NotPossible):
            BUTTONS[button](call(row[0]))
    else:
        assert became(BUTTONS[button](call(row[0]))) == expected


# What reaching a status takes: a dot is nothing, a dash a refusal.
STATUS_TABLE = """
    to           initiated         ringing           answered             on_hold                    recording          held_recording            ended missed
    initiated    .                 -                 -                    -                          -                  -                         -     -
    ringing      ringing           .                 -                    -                          -                  -                         -     -
    answered     answered          answered          .                    unhold                     recording_stopped  unhold+recording_stopped  -     -
    on_hold      -                 -                 hold                 .                          hold               .                         -     -
    recording    -                 -                 recording_started    unhold+recording_started   .                  unhold                    -     -
    transferred  -                 -                 transfer_completed   transfer_completed         transfer_completed transfer_completed        -     -
    ended        ended:cancelled   ended:cancelled   ended                ended                      ended              ended                     .     -
    failed       failed            failed            failed               failed                     failed             failed                    -     -
    busy         ended:busy        ended:busy        -                    -                          -                  -                         -     -
    no_answer    ended:no_answer   ended:no_answer   -                    -                          -                  -                         -     -
    cancelled    ended:cancelled   ended:cancelled   -                    -                          -                  -                         -     -
    missed       ended:missed      ended:missed      -                    -                          -                  -                         -     .
"""  # noqa: E501
STATUS_HEADER, *STATUS_ROWS = [line.split() for line in STATUS_TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", STATUS_ROWS, ids=lambda row: row[0])
@pytest.mark.parametrize("name", STATUS_HEADER[1:])
def test_a_status_is_reached_by(name: str, row: list[str]) -> None:
    expected = row[STATUS_HEADER.index(name)].replace("+", " ")
    status = CallStatus(row[0])
    if expected == "-":
        with pytest.raises(NotPossible):
            rules.set_status(call(name), status=status)
    else:
        assert became(rules.set_status(call(name), status=status)) == expected.replace(".", "")


def test_the_tables_know_every_status() -> None:
    assert {row[0] for row in STATUS_ROWS} == set(CallStatus)


@pytest.mark.parametrize("name", list(CALLS))
@pytest.mark.parametrize("kind", list(EventType))
def test_an_added_event_that_is_possible_changes_something(name: str, kind: EventType) -> None:
    state = call(name)
    try:
        steps = rules.add_event(state, step=Step(kind))
    except NotPossible:
        return
    assert steps == [Step(kind)]
    assert not state.ended
    assert kind is not EventType.INITIATED
    assert state.answered or kind not in {EventType.HOLD, EventType.MUTED, EventType.DTMF, EventType.TRANSFER_COMPLETED}


def test_what_happens_during_a_call_may_be_added() -> None:
    for kind in ("muted", "dtmf", "quality_change", "hold", "ended", "transfer_completed", "recording_started"):
        assert rules.add_event(call("answered"), step=Step(EventType(kind)))
    for kind in ("ringing", "answered", "ended", "failed", "error"):
        assert rules.add_event(call("initiated"), step=Step(EventType(kind)))


def test_a_decision_is_dated_after_everything_known() -> None:
    assert moment_after(CallState(), at=at(5)) == at(5)
    assert moment_after(call("answered"), at=at(60)) == at(60)
    assert moment_after(call("answered"), at=at(1)) == at(2.000001)
