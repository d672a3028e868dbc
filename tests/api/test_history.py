"""`GET /call-history/<number>/`: the calls of a number, as it saw them."""

import csv
import io
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.db import connection
from django.test import Client

from calls.domain.vocabulary import Direction, Source
from calls.operations.record import record
from tests.build import build_event, sign_in

pytestmark = pytest.mark.django_db

ME, OTHER, THIRD = "+1234567890", "+9876543210", "+1112223333"


def call(
    name: str, start: str, *, by: str = ME, to: str = OTHER, answered: bool = True, length: float | None = 60
) -> None:
    """Store a call that began at `start`, lasted `length` seconds (None: still going on)."""
    began = datetime.fromisoformat(start).replace(tzinfo=UTC)
    kinds = [("initiated", 0.0)] + ([("answered", 1.0)] if answered else [])
    kinds += [("ended", length)] if length is not None else []
    record(
        [
            build_event(
                kind, call_id=name, calling_number=by, called_number=to, occurred_at=began + timedelta(seconds=seconds)
            )
            for kind, seconds in kinds
        ]
    )


def history(client: Client, number: str = ME, **query: Any) -> Any:
    return client.get(f"/call-history/{number}/", query)


def times(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry["call_time"] for entry in answer.json()]


def links(answer: Any) -> dict[str, str]:
    """Return the addresses of a Link header (RFC 8288) by their relation."""
    found = {}
    for part in answer.headers.get("Link", "").split(", "):
        if part:
            address, _, relation = part.partition("; rel=")
            found[relation.strip('"')] = address.strip("<>")
    return found


def follow(client: Client, address: str) -> Any:
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}")


def test_the_specifications_example_is_answered_as_it_stands_there(analyst: Client) -> None:
    call("a", "2024-04-01T12:00:00", length=120)
    call("b", "2024-04-02T10:00:00", by=THIRD, to=ME, answered=False)
    assert history(analyst).content == (
        b'[{"call_time":"2024-04-01T12:00:00Z","counterparty_number":"+9876543210",'
        b'"call_status":"Completed Outbound","duration":120},'
        b'{"call_time":"2024-04-02T10:00:00Z","counterparty_number":"+1112223333",'
        b'"call_status":"Missed Inbound","duration":null}]'
    )


def test_the_same_call_is_outbound_to_one_and_inbound_to_the_other(analyst: Client) -> None:
    call("a", "2024-04-01T12:00:00")
    assert history(analyst, ME).json()[0]["call_status"] == "Completed Outbound"
    [entry] = history(analyst, OTHER).json()
    assert (entry["call_status"], entry["counterparty_number"]) == ("Completed Inbound", ME)


@pytest.mark.parametrize("spelling", ["+1234567890", "%2B1234567890", "1234567890"])
@pytest.mark.parametrize("slash", ["/", ""])
def test_the_path_takes_a_number_with_and_without_its_plus(analyst: Client, spelling: str, slash: str) -> None:
    call("a", "2024-04-01T12:00:00")
    assert len(analyst.get(f"/call-history/{spelling}{slash}").json()) == 1


def test_microseconds_are_shown_only_where_they_are_not_zero(analyst: Client) -> None:
    call("a", "2024-04-01T12:00:00.5")
    assert times(history(analyst)) == ["2024-04-01T12:00:00.500000Z"]


def test_an_unended_call_is_shown_only_on_demand(analyst: Client) -> None:
    call("a", "2024-04-01T12:00:00", length=None)
    call("b", "2024-04-01T13:00:00", by=OTHER, to=ME, answered=False, length=None)
    assert history(analyst).json() == []
    shown = history(analyst, include="ongoing").json()
    assert [(entry["call_status"], entry["duration"]) for entry in shown] == [
        ("Ongoing Outbound", None),
        ("Ongoing Inbound", None),
    ]


def test_a_number_that_calls_itself_has_one_outbound_entry(analyst: Client) -> None:
    call("a", "2024-04-01T12:00:00", by=ME, to=ME)
    assert [entry["call_status"] for entry in history(analyst).json()] == ["Completed Outbound"]


def test_an_assumed_end_completes_a_call_without_a_duration(analyst: Client) -> None:
    events = [build_event("initiated"), build_event("answered", 5), build_event("ended", 5, source=Source.INFERRED)]
    record(events)
    [entry] = history(analyst).json()
    assert (entry["call_status"], entry["duration"]) == ("Completed Outbound", None)


def test_the_stated_direction_does_not_change_who_called_whom(analyst: Client) -> None:
    record([build_event(direction=Direction.INBOUND), build_event("ended", 5)])
    assert history(analyst).json()[0]["call_status"] == "Missed Outbound"


def test_a_number_never_seen_is_a_404_and_a_malformed_one_a_400(analyst: Client) -> None:
    assert history(analyst, "+12025550199").status_code == 404
    for number in ["+0123", "abc", "+1", "1" * 16, "+١٢٣٤٥٦", "+123456\n", "+12 34", "anonymous"]:
        answer = history(analyst, quote(number))
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["number"]), number
    assert "+1234567890" in history(analyst, "001234567890").json()["errors"]["number"][0]


# -- Order, bounds and filters -------------------------------------------------------------------------

MORNING, NOON, EVENING = "2024-04-01T08:00:00Z", "2024-04-01T12:00:00Z", "2024-04-01T20:00:00Z"


@pytest.fixture
def day(db: None) -> None:
    """Three calls of a day: one made, one missed, one received."""
    call("a", MORNING[:-1])
    call("b", NOON[:-1], by=OTHER, to=ME, answered=False)
    call("c", EVENING[:-1], by=OTHER, to=ME)


@pytest.mark.usefixtures("day")
def test_the_oldest_comes_first_unless_the_newest_is_wanted(analyst: Client) -> None:
    assert times(history(analyst)) == [MORNING, NOON, EVENING]
    assert times(history(analyst, ordering="call_time")) == [MORNING, NOON, EVENING]
    assert times(history(analyst, ordering="-call_time")) == [EVENING, NOON, MORNING]


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"from": NOON}, [NOON, EVENING]),
        ({"to": NOON}, [MORNING]),
        ({"from": MORNING, "to": EVENING}, [MORNING, NOON]),
        ({"from": "2024-04-01T14:00:00+02:00"}, [NOON, EVENING]),
        ({"from": "2024-04-01"}, [MORNING, NOON, EVENING]),
        ({"to": "2024-04-01"}, []),
        ({"status": "Missed Inbound"}, [NOON]),
        ({"status": "Completed Inbound"}, [EVENING]),
        ({"status": "Missed Outbound"}, []),
        ({"status": "Ongoing Inbound"}, []),
        ({"status": "Completed Outbound", "from": NOON}, []),
    ],
)
def test_bounds_and_filters(analyst: Client, query: dict[str, str], expected: list[str]) -> None:
    assert times(history(analyst, **query)) == expected


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from", "yesterday"), ("to", ""), ("status", "Completed"), ("include", "all"), ("ordering", "duration"),
        ("limit", "0"), ("limit", "10001"), ("limit", "x"), ("limit", "-1"), ("limit", "٣"), ("cursor", "x"),
        ("cursor", ""), ("format", "xml"), ("from", "2024-04-01T14:00:00 02:00"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_refused_by_name(analyst: Client, name: str, value: str) -> None:
    answer = history(analyst, **{name: value})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [name])


# -- Pages -----------------------------------------------------------------------------------------


@pytest.fixture
def many(db: None) -> list[str]:
    """25 calls, some of them in the same second, and their times in order."""
    starts = [f"2024-04-01T12:{minute // 3:02}:00" for minute in range(25)]
    for place, start in enumerate(starts):
        by, to = (ME, OTHER) if place % 2 else (OTHER, ME)
        call(f"call-{place}", start, by=by, to=to)
    return [f"{start}Z" for start in starts]


@pytest.mark.parametrize("ordering", ["call_time", "-call_time"])
@pytest.mark.parametrize("limit", [1, 4, 5, 24, 25, 100])
def test_pages_forth_and_back_neither_skip_nor_repeat(
    analyst: Client, many: list[str], ordering: str, limit: int
) -> None:
    whole = history(analyst, ordering=ordering).json()
    assert [entry["call_time"] for entry in whole] == sorted(many, reverse=ordering.startswith("-"))
    answer = history(analyst, ordering=ordering, limit=limit)
    assert "prev" not in links(answer)
    pages = [answer]
    while "next" in links(pages[-1]):
        pages.append(follow(analyst, links(pages[-1])["next"]))
    assert [entry for page in pages for entry in page.json()] == whole
    assert len(pages) == -(-25 // limit)

    back = [pages[-1]]
    while "prev" in links(back[-1]):
        back.append(follow(analyst, links(back[-1])["prev"]))
    assert [page.json() for page in back] == [page.json() for page in reversed(pages)]
    for page, after in pairwise(reversed(back)):
        assert follow(analyst, links(page)["next"]).json() == after.json()


def test_a_call_that_comes_between_two_pages_moves_no_other(analyst: Client, many: list[str]) -> None:
    first = history(analyst, limit=10)
    call("early", "2024-04-01T11:00:00")
    assert times(follow(analyst, links(first)["next"])) == many[10:20]


@pytest.mark.usefixtures("many")
def test_a_cursor_belongs_to_its_filters(analyst: Client) -> None:
    cursor = links(history(analyst, limit=5))["next"].partition("cursor=")[2]
    assert history(analyst, limit=7, cursor=cursor).status_code == 200
    for other in (
        {"ordering": "-call_time"},
        {"from": "2024-01-01"},
        {"status": "Missed Inbound"},
        {"include": "ongoing"},
    ):
        answer = history(analyst, cursor=cursor, **other)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["cursor"])
    assert history(analyst, OTHER, cursor=cursor).status_code == 400
    assert history(analyst, cursor=cursor[:-2] + "zz").status_code == 400


def test_a_page_of_any_depth_takes_one_query_and_the_same_plan(
    analyst: Client, many: list[str], django_assert_num_queries: Any
) -> None:
    history(analyst)
    deep = links(follow(analyst, links(history(analyst, limit=5))["next"]))["next"]
    for address in ("/call-history/+1234567890/", deep):
        with django_assert_num_queries(1) as queries:  # the token and its owner's rights are remembered
            follow(analyst, address)
        assert "OFFSET" not in queries[-1]["sql"]


@pytest.mark.postgresql
def test_postgresql_answers_from_the_two_indexes_without_sorting_all(analyst: Client, many: list[str]) -> None:
    from django.test.utils import CaptureQueriesContext

    # Enough other calls, and statistics about them, that the planner's choice is no accident.
    record(
        [
            build_event(
                kind,
                seconds,
                call_id=f"other-{place}",
                calling_number=f"+4930{place:06}",
                called_number=f"+4940{place:06}",
            )
            for place in range(3_000)
            for kind, seconds in (("initiated", place), ("ended", place + 5))
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE calls_call")
    with CaptureQueriesContext(connection) as queries:
        history(analyst, limit=5)
    sql = queries[-1]["sql"]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "call_by_calling" in plan
    assert "call_by_called" in plan
    assert "Seq Scan" not in plan


# -- CSV --------------------------------------------------------------------------------------------


def rows(answer: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.getvalue().decode())))


def test_csv_has_the_same_columns_and_no_limit(analyst: Client, many: list[str]) -> None:
    answer = history(analyst, format="csv", limit=3)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="call-history-1234567890.csv"'
    header, *lines = rows(answer)
    assert header == ["call_time", "counterparty_number", "call_status", "duration"]
    entries = [list(map(str, entry.values())) for entry in history(analyst).json()]
    assert lines == entries


def test_csv_leaves_what_is_unknown_empty(analyst: Client) -> None:
    call("a", "2024-04-01T12:00:00", answered=False)
    assert rows(history(analyst, format="csv"))[1] == ["2024-04-01T12:00:00Z", OTHER, "Missed Outbound", ""]


def test_csv_is_safe_to_open_in_a_spreadsheet(analyst: Client) -> None:
    for place, other in enumerate(["=cmd()", "+cmd", "-1", "@x", "\tx", "+0987654321", "anonymous", OTHER]):
        call(f"c{place}", f"2024-04-01T12:00:0{place}", to=other)
    cells = [row[1] for row in rows(history(analyst, format="csv"))[1:]]
    assert cells == ["'=cmd()", "'+cmd", "'-1", "'@x", "'\tx", "'+0987654321", "anonymous", OTHER]


def test_errors_of_csv_are_json(analyst: Client) -> None:
    answer = history(analyst, "+12025550199", format="csv")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")


# -- Who may ------------------------------------------------------------------------------------------


def test_who_may_read_histories(telephony: Client, analyst: Client, db: None) -> None:
    call("a", "2024-04-01T12:00:00")
    assert history(Client()).status_code == 401
    assert history(telephony).status_code == 403
    assert history(sign_in()).status_code == 403
    for client in (analyst, sign_in("Operators"), sign_in(superuser=True)):
        assert history(client).status_code == 200
    assert analyst.post("/call-history/+1234567890/").status_code == 405


def test_histories_are_kept_by_no_cache(analyst: Client) -> None:
    call("a", "2024-04-01T12:00:00")
    assert history(analyst)["Cache-Control"] == "no-store"
    assert history(analyst, format="csv")["Cache-Control"] == "no-store"
