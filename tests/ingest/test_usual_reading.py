"""The body that most senders send is read in a faster way, which never says anything else than the thorough one."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from calls.ingest.door import read_fields
from calls.ingest.process_events import read_event, read_usual
from calls.web.bodies import InvalidJSON
from calls.web.errors import Invalid
from tests.build import NOON, report

IDS = st.text(max_size=9) | st.sampled_from(
    ["é" * 255, "é" * 256, "😀" * 255, " ", "\u3000", "\x1f", "a\x00", "a\\u0000"]
)
NUMBERS = st.from_regex(r"\+[1-9][0-9]{0,16}\n?") | st.sampled_from(["+12025550123", "+1٣٤٥٦", "+02025550123"])
TIMES = st.sampled_from(["", "Z", "+05:30", "-0800", "+24:00", "+05:61"])
FIELDS = {
    "event_id": IDS,
    "call_id": IDS,
    "event": st.sampled_from(["INITIATE", "ANSWER", "DISCONNECT", "RING", "initiate"]),
    "calling_number": NUMBERS,
    "called_number": NUMBERS,
    "created_at": st.builds(lambda at, zone: at.isoformat() + zone, st.datetimes(), TIMES)
    | st.sampled_from(["2024-04-01 12:00Z", "2016-12-31T23:59:60Z", "2024-04-01T12:00:00.1234567Z", "2024-04-01", ""]),
}


def read_thoroughly(raw: bytes) -> Any:
    try:
        return read_event(read_fields(raw), at=NOON)
    except (Invalid, InvalidJSON):
        return None


@settings(max_examples=400)
@given(
    said=st.fixed_dictionaries({}, optional=FIELDS),
    other=st.dictionaries(
        st.sampled_from([*FIELDS, "more"]), st.none() | st.integers() | st.text(max_size=3), max_size=1
    ),
    ascii=st.booleans(),
)
def test_both_ways_of_reading_say_the_same(said: dict[str, Any], other: dict[str, Any], ascii: bool) -> None:
    raw = json.dumps({**report(), **said, **other}, ensure_ascii=ascii).encode()
    assert read_usual(raw, at=NOON) in (read_thoroughly(raw), None)


def test_what_is_usual_is_read_the_faster_way() -> None:
    raw = json.dumps(report()).encode()
    assert read_usual(raw, at=NOON) == read_thoroughly(raw) is not None


def test_of_a_key_that_comes_twice_the_last_counts_in_both() -> None:
    raw = json.dumps(report()).encode()[:-1] + b', "call_id": "last"}'
    assert read_usual(raw, at=NOON) == read_thoroughly(raw)
    assert read_thoroughly(raw).call_id == "last"


def test_what_is_broken_or_has_more_is_left_to_the_thorough_way() -> None:
    usual = json.dumps(report()).encode()
    for raw in (
        b"",
        b" ",
        b"[]",
        usual[:-1],
        usual + b"x",
        b"\xff" + usual,
        b'{"a":' * 100_000,
        usual[:-1] + b', "more": 1}',
    ):
        assert read_usual(raw, at=NOON) is None
