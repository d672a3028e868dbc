"""Causes: what ended a call, in the words of the telephone network."""

import pytest

from calls.domain.vocabulary import ANOMALY_SENTENCES, Anomaly, Direction, read_cause, unanswered_status


@pytest.mark.parametrize(
    ("metadata", "cause"),
    [
        ({}, None),
        ({"cause": "busy"}, "busy"),
        ({"cause": 17}, "q850:17"),
        ({"cause": "17"}, "q850:17"),
        ({"cause": 486}, "sip:486"),
        ({"sip_code": 486}, "sip:486"),
        ({"sip_code": "486 Busy Here"}, "sip:486"),
        ({"sip_code": 100}, "q850:100"),
        ({"q850": 486}, "sip:486"),
        ({"cause": 17.0}, "q850:17"),
        ({"q850": 16, "sip_code": 486}, "q850:16"),
        ({"cause": 503, "q850": 17}, "q850:17"),
        ({"cause": "no_answer", "q850": 17}, "no_answer"),
        ({"cause": "BYE"}, "sip:bye"),
        ({"cause": "answered"}, None),
        ({"cause": "user went home"}, None),
        ({"cause": True, "q850": None, "sip_code": 1.5}, None),
        ({"cause": "٤٨٦"}, None),
    ],
)
def test_a_cause_is_read_from_metadata(metadata: dict[str, object], cause: str | None) -> None:
    assert read_cause(metadata) == cause


def test_the_senders_own_word_beats_all_numbers() -> None:
    assert read_cause({"q850": 16}, word="busy") == "busy"


@pytest.mark.parametrize(
    ("cause", "inbound", "outbound"),
    [
        (None, "missed", "no_answer"),
        ("q850:16", "missed", "cancelled"),
        ("sip:487", "missed", "cancelled"),
        ("sip:bye", "missed", "cancelled"),
        ("sip:cancel", "missed", "cancelled"),
        ("q850:17", "busy", "busy"),
        ("sip:486", "busy", "busy"),
        ("sip:600", "busy", "busy"),
        ("q850:18", "no_answer", "no_answer"),
        ("q850:19", "no_answer", "no_answer"),
        ("sip:408", "no_answer", "no_answer"),
        ("sip:480", "no_answer", "no_answer"),
        ("q850:21", "failed", "failed"),
        ("sip:603", "failed", "failed"),
        ("sip:403", "failed", "failed"),
        ("q850:127", "failed", "failed"),
        ("sip:503", "failed", "failed"),
        ("cancelled", "cancelled", "cancelled"),
        ("missed", "missed", "missed"),
        ("ended", "missed", "no_answer"),
    ],
)
def test_an_unanswered_end_takes_its_word_from_its_cause(cause: str | None, inbound: str, outbound: str) -> None:
    assert unanswered_status(cause, Direction.INBOUND) == inbound
    assert unanswered_status(cause, Direction.OUTBOUND) == outbound


def test_an_unanswered_call_of_unknown_direction_is_missed() -> None:
    assert unanswered_status(None, Direction.UNKNOWN) == "missed"
    assert unanswered_status("sip:487", Direction.UNKNOWN) == "cancelled"


def test_every_anomaly_has_a_sentence() -> None:
    assert set(ANOMALY_SENTENCES) == set(Anomaly)
    assert (Anomaly.NO_START | Anomaly.TWO_ENDS).codes() == ["no_start", "two_ends"]
