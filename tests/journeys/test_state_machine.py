"""Buttons and webhooks in any order, some of them twice, over HTTP: no 5xx, and no disagreement with a plain model."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from calls.domain.events import Event
from calls.domain.vocabulary import Direction, EventType, Source
from calls.operations.sip import ensure_default
from tests.build import CALLEE, CALLER, at, report, send, sign_in
from tests.operations.health import assert_calls_follow_from_their_events
from tests.reference import ENDS, ORDER, reference, sort_key

WORDS = {
    "call_initiated": "initiated", "call_ringing": "ringing", "call_answered": "answered", "call_hold": "hold",
    "call_unhold": "unhold", "call_transfer_initiated": "transfer_initiated", "call_transferred": "transfer_completed",
    "call_ended": "ended", "call_busy": "ended", "call_no_answer": "ended", "call_failed": "failed", "muted": "muted",
    "unmuted": "unmuted", "dtmf": "dtmf", "recording_started": "recording_started",
    "recording_stopped": "recording_stopped", "error": "error",
}  # fmt: skip
PART_A = {"INITIATE": "initiated", "ANSWER": "answered", "DISCONNECT": "ended"}
STATUSES = [
    "initiated", "ringing", "answered", "missed", "busy", "no_answer", "failed", "cancelled", "transferred", "ended",
    "recording", "on_hold",
]  # fmt: skip
STAGES = {"pending": 0, "recording": 1, "processing": 2, "completed": 3, "failed": 3, "deleted": 4}
# Few instants, so that events share one or come late; the last ones lie after any button.
SECONDS = st.sampled_from([0, 1, 1, 2, 5, 60, 90.5, 2_000_000_000, 2_000_000_001])
# Most happens to the call that goes on, and to the one that we began.
PLACES = st.sampled_from([0, 0, 0, 1, 1, 2])
TWICE = st.sampled_from([False, False, False, True])
_examples = itertools.count(1)


# -- The plain model ---------------------------------------------------------------------------------


def status_of(log: list[Event]) -> str:
    facets = reference(log)
    if facets["ended_at"]:
        end = next(event for event in sorted(log, key=sort_key) if event.type in ENDS)
        if end.type == "transfer_completed":
            return "transferred"
        if facets["answered_at"]:
            return "ended"
        if facets["cause"]:
            return str(facets["cause"])
        if end.type == "failed":
            return "failed"
        return "no_answer" if facets["direction"] == "outbound" else "missed"
    for facet, word in (("held", "on_hold"), ("recording", "recording"), ("answered_at", "answered")):
        if facets[facet]:
            return word
    return "ringing" if facets["ringing_at"] else "initiated"


def set_status(log: list[Event], wanted: str) -> list[str] | None:
    """Return what a wanted status becomes; None if it cannot be reached."""
    facets, present = reference(log), status_of(log)
    answered = facets["answered_at"] is not None
    if wanted == present:
        return []
    if facets["ended_at"]:
        return None
    if wanted in ("failed", "ended"):
        return [wanted]
    if not answered:
        ends = {"missed": "ended", "busy": "ended", "no_answer": "ended", "cancelled": "ended"}
        becomes = {"ringing": "ringing", "answered": "answered"} | ends
        return [becomes[wanted]] if wanted in becomes else None
    unhold = ["unhold"] if facets["held"] else []
    return {
        "transferred": ["transfer_completed"],
        "on_hold": ["hold"],
        "recording": unhold + ([] if facets["recording"] else ["recording_started"]),
        "answered": unhold + (["recording_stopped"] if facets["recording"] else []),
    }.get(wanted)


def added_event(log: list[Event], kind: str) -> list[str] | None:
    """Return the event if it can happen to the call as it is."""
    facets = reference(log)
    if facets["ended_at"]:
        return None
    before = {"ringing", "answered", "ended", "failed", "quality_change", "error"}
    after = set(ORDER) - {"initiated", "ringing", "answered"}
    if kind not in (after if facets["answered_at"] else before):
        return None
    on = {"hold": "held", "muted": "muted", "recording_started": "recording"}
    off = {"unhold": "held", "unmuted": "muted", "recording_stopped": "recording"}
    pointless = (kind in on and facets[on[kind]]) or (kind in off and not facets[off[kind]])
    return None if pointless or (kind == "ringing" and facets["ringing_at"]) else [kind]


def pressed(log: list[Event], button: str) -> list[str] | None:
    """Return what a button becomes; None if it is not possible."""
    facets = reference(log)
    if facets["ended_at"]:
        return None
    if button == "end_call":
        return ["ended"]
    if button == "stop_recording":
        return ["recording_stopped"] if facets["recording"] else None
    if not facets["answered_at"]:
        return None
    if button == "start_recording":
        return None if facets["recording"] else ["recording_started"]
    if button == "toggle_hold":
        return ["unhold" if facets["held"] else "hold"]
    return ["transfer_initiated", "transfer_completed"]


# -- The machine -------------------------------------------------------------------------------------


class Telephony(RuleBasedStateMachine):
    """Some calls, what the model knows of them, and everything that may be done to them."""

    telephony: Client
    operator: Client
    sent = Bundle("sent")

    @initialize()
    def begin(self) -> None:
        """Begin with a call that goes on, one of ours that was just begun, and one that nobody has heard of."""
        self.example, self.numbers = next(_examples), itertools.count(1)
        self.logs: dict[str, list[Event]] = {}
        self.recordings: dict[str, int] = {}
        answer = send(self.operator, "POST", "call-logs/initiate_call/", {"recipient_number": CALLEE})
        assert answer.status_code == 201
        self.names = [f"machine-{self.example}-a", answer.json()["sip_call_id"], f"machine-{self.example}-b"]
        self.logs[self.names[1]] = []
        self.learn(self.names[1], answer.json(), ["initiated"], Direction.OUTBOUND)
        for word in ("call_initiated", "call_answered"):
            self.webhook(0, word, 1, None, None)

    @rule(place=PLACES)
    def log_incoming_call(self, place: int) -> None:
        call = self.names[place]
        body = {"caller_number": CALLER, "recipient_number": CALLEE, "sip_call_id": call}
        answer = send(self.operator, "POST", "call-logs/log_incoming_call/", body)
        known = call in self.logs
        assert answer.status_code == (200 if known else 201)
        self.logs.setdefault(call, [])
        self.learn(call, answer.json(), [] if known else ["initiated", "ringing"], Direction.INBOUND)

    @rule(
        target=sent, place=PLACES, word=st.sampled_from(list(WORDS)), seconds=SECONDS,
        way=st.sampled_from([None, None, "inbound", "outbound"]),
        cause=st.sampled_from([None, None, "busy", "cancelled"]),
    )  # fmt: skip
    def webhook(self, place: int, word: str, seconds: float, way: str | None, cause: str | None) -> Any:
        call = self.names[place]
        body = {
            "event_type": word, "sip_call_id": call, "caller_number": CALLER, "recipient_number": CALLEE,
            "timestamp": at(seconds).isoformat(), "event_id": self.new_id(),
            "metadata": {"direction": way, "cause": cause, "transfer_to": "200"},
        }  # fmt: skip
        said = {"call_busy": "busy", "call_no_answer": "no_answer"}.get(word, cause)
        self.know(call, body["event_id"], WORDS[word], at(seconds), Source.SIP, way=way, cause=said)
        self.deliver("/api/webhooks/sip/", body, call)
        return "/api/webhooks/sip/", body, call

    @rule(target=sent, place=PLACES, word=st.sampled_from(list(PART_A)), seconds=SECONDS)
    def process_event(self, place: int, word: str, seconds: float) -> Any:
        call = self.names[place]
        body = report(
            event_id=self.new_id(), call_id=call, event=word, created_at=at(seconds).isoformat(), cause="busy"
        )
        self.know(call, body["event_id"], PART_A[word], at(seconds), Source.PROCESS_EVENTS)
        self.deliver("/process-events/", body, call)
        return "/process-events/", body, call

    @rule(delivery=sent)
    def the_same_again(self, delivery: Any) -> None:
        self.deliver(*delivery)

    @rule(place=PLACES, twice=TWICE)
    def toggle_hold(self, place: int, twice: bool) -> None:
        self.ask(place, "POST", "toggle_hold", {}, lambda log: pressed(log, "toggle_hold"), twice)

    @rule(place=PLACES, button=st.sampled_from(["start_recording", "stop_recording"]), twice=TWICE)
    def record(self, place: int, button: str, twice: bool) -> None:
        self.ask(place, "POST", button, {}, lambda log: pressed(log, button), twice)

    @rule(place=PLACES, button=st.sampled_from(["end_call", "transfer_call"]), twice=TWICE)
    def end(self, place: int, button: str, twice: bool) -> None:
        body = {"transfer_to": "+12025550199"} if button == "transfer_call" else {}
        self.ask(place, "POST", button, body, lambda log: pressed(log, button), twice)

    @rule(place=PLACES, status=st.sampled_from(STATUSES), twice=TWICE)
    def update_status(self, place: int, status: str, twice: bool) -> None:
        self.ask(place, "PATCH", "update_status", {"status": status}, lambda log: set_status(log, status), twice)

    @rule(place=PLACES, kind=st.sampled_from(ORDER), twice=TWICE)
    def add_event(self, place: int, kind: str, twice: bool) -> None:
        body = {"event_type": kind, "metadata": {"reason": "x"}}
        self.ask(place, "POST", "add_event", body, lambda log: added_event(log, kind), twice)

    @rule(place=PLACES, status=st.sampled_from(list(STAGES)), url=st.sampled_from([None, "a", "b"]))
    def report_recording(self, place: int, status: str, url: str | None) -> None:
        call = self.names[place]
        address = f"https://recordings.example.com/{url}.wav" if url else None
        body = {"call_id": call, "status": status, "file_url": address, "duration": 5}
        answer = send(self.telephony, "POST", "webhooks/recording/", body)
        assert answer.status_code == (200 if call in self.logs else 404)
        if call in self.logs:
            self.agree(call)

    # -- What they share

    def new_id(self) -> str:
        return f"machine-{self.example}-event-{next(self.numbers)}"

    def know(
        self, call: str, event_id: str, kind: str, moment: datetime, source: Source, *, way: str | None = None,
        cause: str | None = None, target: str | None = "200",
    ) -> None:  # fmt: skip
        """Add an event to what the model knows."""
        event = Event(
            event_id=event_id,
            call_id=call,
            type=EventType(kind),
            occurred_at=moment,
            received_at=moment,
            source=source,
            calling_number=CALLER,
            called_number=CALLEE,
            direction=Direction(way) if way else None,
            cause=cause if kind in ENDS else None,
            transfer_to=target if kind.startswith("transfer_") else None,
        )
        self.logs.setdefault(call, []).append(event)

    def deliver(self, path: str, body: dict[str, Any], call: str) -> None:
        answer = self.telephony.post(path, body, content_type="application/json")
        assert answer.status_code == 200, answer.content
        said = answer.json()
        assert said.get("status", said.get("call_status")) == self.agree(call)

    def ask(self, place: int, method: str, button: str, body: Any, rule: Any, twice: bool) -> None:
        """Press a button, perhaps twice with one Idempotency-Key, and compare the answer with the rule's."""
        call = self.names[place]
        headers = {"Idempotency-Key": self.new_id()} if twice else {}
        answer = send(self.operator, method, f"call-logs/{call}/{button}/", body, **headers)
        if call not in self.logs:
            assert answer.status_code == 404
            return
        becomes = rule(self.logs[call])
        if twice:
            again = send(self.operator, method, f"call-logs/{call}/{button}/", body, **headers)
            assert (again.status_code, again.json()) == (answer.status_code, answer.json())
        if becomes is None:
            assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition"), (button, body)
            becomes = []
        else:
            created = button in ("add_event", "start_recording")
            assert answer.status_code == (201 if created else 200), (button, body, answer.content)
        shown = answer.json()
        if "events" not in shown:
            shown = send(self.operator, "GET", f"call-logs/{call}/").json()
        self.learn(call, shown, becomes, None, wanted=body.get("status"), target=body.get("transfer_to"))

    def learn(
        self, call: str, shown: dict[str, Any], becomes: list[str], way: Direction | None, *, wanted: str | None = None,
        target: str | None = None,
    ) -> None:  # fmt: skip
        """Take the events that a button became from the answer: the model cannot know their ids and times."""
        log = self.logs[call]
        known = {event.event_id for event in log}
        new = [event for event in shown["events"] if event["event_id"] not in known]
        assert [event["event_type"] for event in new] == becomes
        last = max((event.occurred_at for event in log), default=None)
        answered = bool(log) and reference(log)["answered_at"] is not None
        for event in new:
            moment = datetime.fromisoformat(event["occurred_at"])
            assert last is None or moment >= last + timedelta(microseconds=1)
            assert event["source"] == "api"
            # A button that ends a call before the answer says why; what is added by hand says it itself.
            gives_up = event["event_type"] == "ended" and not answered and not event["metadata"]
            cause = (wanted if wanted and wanted != "ended" else "cancelled") if gives_up else None
            self.know(
                call, event["event_id"], event["event_type"], moment, Source.API, way=way, cause=cause, target=target
            )
        self.agree(call, shown)

    def agree(self, call: str, shown: dict[str, Any] | None = None) -> str:
        """Compare what the API shows of a call with what the model says, and return the status."""
        shown = shown or send(self.operator, "GET", f"call-logs/{call}/").json()
        log = self.logs[call]
        facets = reference(log)
        assert len(shown["events"]) == len(log)
        for name in ("started_at", "ringing_at", "answered_at", "ended_at"):
            value = datetime.fromisoformat(shown[name]) if shown[name] else None
            assert value == facets[name], (name, value, facets[name])
        for name in ("cause", "direction", "duration", "talk_seconds", "hold_seconds", "transferred_to"):
            assert shown[name] == facets[name], (name, shown[name], facets[name])
        assert shown["status"] == status_of(log)
        for recording in shown["recordings"]:
            stage = STAGES[recording["status"]]
            assert stage >= self.recordings.get(recording["id"], 0), "a recording went backwards"
            self.recordings[recording["id"]] = stage
        return str(shown["status"])


@pytest.mark.django_db
def test_nothing_that_is_pressed_or_reported_leads_to_a_5xx_or_a_disagreement() -> None:
    Telephony.telephony, Telephony.operator = sign_in("Telephony systems"), sign_in("Operators")
    ensure_default(name="Main", sip_server="sip.example.com", caller_number=CALLER)
    run_state_machine_as_test(Telephony, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
    assert_calls_follow_from_their_events()
