"""Which texts are instants, and which."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.domain.instants import NotAnInstant, read_instant, write_instant

UTC_NOON = "2024-04-01T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        (UTC_NOON, UTC_NOON),
        ("2024-04-01T12:00:00", UTC_NOON),
        ("2024-04-01 12:00:00+00:00", UTC_NOON),
        ("2024-04-01t12:00:00z", UTC_NOON),
        ("2024-04-01T12:00Z", UTC_NOON),
        ("20240401T120000Z", UTC_NOON),
        ("2024-04-01T14:00:00+02:00", UTC_NOON),
        ("2024-04-01T14:00:00+0200", UTC_NOON),
        ("2024-04-01T14:00:00+02", UTC_NOON),
        ("2024-04-01T06:30:00-05:30", UTC_NOON),
        ("2024-04-01T12:00:00.5Z", "2024-04-01T12:00:00.500000Z"),
        ("2024-04-01T12:00:00,5Z", "2024-04-01T12:00:00.500000Z"),
        ("2024-04-01T12:00:00.1234569Z", "2024-04-01T12:00:00.123456Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2024-04-01T11:59:60.25Z", "2024-04-01T12:00:00.250000Z"),
        ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2099-12-31T23:59:59.999999Z", "2099-12-31T23:59:59.999999Z"),
    ],
)
def test_an_instant_is_read(text: str, instant: str) -> None:
    assert write_instant(read_instant(text)) == instant


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "1711972800", "2024-04-01", "20240401", "2024-W14-1", "2024-W14-1T12:00:00Z",
        "2024-092T12:00:00Z",
        "2024-04-01T12", "2024-04-01T12Z", "2024-04-01T1200:00Z", "2024-04-01T12:0000Z", "2024-0401T12:00:00Z",
        "٢٠٢٤-٠٤-٠١T١٢:٠٠:٠٠Z", "２０２４-04-01T12:00:00Z", "2024-04-01T12:00:00Z\n", " 2024-04-01T12:00:00Z",
        "2024-02-30T12:00:00Z", "2023-02-29T12:00:00Z", "2024-13-01T12:00:00Z", "2024-04-01T24:00:00Z",
        "2024-04-01T12:60:00Z",
        "2024-04-01T12:00:61Z", "2024-04-01T12:00:00+24:00", "2024-04-01T12:00:00+02:60", "2024-04-01T12:00:00.Z",
        "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+01:00", "2100-01-01T00:00:00Z", "0000-01-01T00:00:00Z",
        "2099-12-31T23:59:60Z", "9999-12-31T23:59:60-23:59", "2024-04-01T12:00:00 +02:00", "2024-04-01T12:00:00ZZ",
        "−2024-04-01T12:00:00Z", "12:00:00", "2024-04-01T12:00:00UTC", "2024-04-01T12:00:00 Europe/Berlin",
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(NotAnInstant):
        read_instant(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 31, 23, 59, 59, 999999)))
def test_what_is_written_is_read_back(naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC)
    assert read_instant(write_instant(instant)) == instant


@given(st.text())
def test_any_text_is_an_instant_or_refused(text: str) -> None:
    try:
        instant = read_instant(text)
    except NotAnInstant:
        return
    assert 1970 <= instant.year <= 2099
