"""The shortcut gives the answers of the view, byte for byte, to whatever comes."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.ingest import shortcut
from calls.ingest.shortcut import ALIKE
from calls.models import AccessToken, Call, CallEvent
from tests.build import report, sign_in
from tests.ingest.test_process_events import JSON, REQUIRED
from tests.ingest.ways import ByWSGI

pytestmark = pytest.mark.django_db


class Django:
    """The application without the shortcut; counts how often it is asked."""

    def __init__(self) -> None:
        self.handler, self.asked = WSGIHandler(), 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.asked += 1
        return self.handler(environ, start_response)


def ask(application: Any, body: Any, *, key: str = "", **changes: Any) -> tuple[str, dict[str, str], bytes]:
    """Return the status, the headers and the body of an application's answer to a POST."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/process-events/",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(raw)),
        "HTTP_AUTHORIZATION": f"Token {key}",
        "HTTP_HOST": "testserver",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True,
        "wsgi.input": io.BytesIO(raw),
        "wsgi.errors": io.StringIO(),
        **changes,
    }
    told: list[Any] = []
    answer = application(
        {name: value for name, value in environ.items() if value is not None},
        lambda status, headers, *more: told.extend((status, headers)),
    )
    text = b"".join(answer)
    headers = {name.lower(): value for name, value in told[1]}
    headers.setdefault("content-length", str(len(text)))  # which any server adds
    return told[0].partition(" ")[0], headers, text


class Pair:
    """The same token's ways in: through the shortcut, and through Django alone."""

    def __init__(self) -> None:
        client = sign_in("Telephony systems")
        self.key = client.defaults["HTTP_AUTHORIZATION"].split()[1]
        self.django = Django()
        self.short = ByWSGI(self.django)
        self.plain = WSGIHandler()

    def warm(self, **changes: Any) -> "Pair":
        """Let the shortcut see how Django answers."""
        for _ in range(ALIKE):
            with transaction.atomic():
                ask(self.short, report(call_id="warm"), key=self.key, **changes)
                transaction.set_rollback(True)
        self.django.asked = 0
        return self

    def both(self, *bodies: Any, **changes: Any) -> list[list[Any]]:
        """Return what each way answers to these bodies, one after the other, and what is stored by then."""
        answers = []
        changes = {"key": self.key, **changes}
        for application in (self.short, self.plain):
            with transaction.atomic():
                told = [ask(application, body, **changes) for body in bodies]
                answers.append([*told, stored()])
                transaction.set_rollback(True)
        return answers

    def same(self, *bodies: Any, **changes: Any) -> None:
        short, plain = self.both(*bodies, **changes)
        assert short == plain


def stored() -> Any:
    """Return all that is stored, but when it came and in which row."""
    calls = Call.objects.order_by("pk").values()
    events = CallEvent.objects.order_by("source", "event_id").values()
    unlike = {"id", "received_at", "created_at", "updated_at"}
    return [{k: v for k, v in row.items() if k not in unlike} for rows in (calls, events) for row in rows]


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Keep the test's connection open between requests, as the test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def pair() -> Pair:
    return Pair().warm()


# -- What it takes, and what it leaves to Django ----------------------------------------------------


def test_an_event_is_answered_without_django(pair: Pair) -> None:
    status, headers, body = ask(pair.short, report(event_id="e", call_id="c"), key=pair.key)
    assert pair.django.asked == 0
    assert status == "200"
    assert json.loads(body) == {"event_id": "e", "call_id": "c", "result": "created", "call_status": "initiated"}
    assert headers["x-content-type-options"] == "nosniff"
    assert CallEvent.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "wrong"},
        {"key": "a b"},
        {"HTTP_AUTHORIZATION": None},
        {"HTTP_AUTHORIZATION": "Bearer x"},
        {"HTTP_AUTHORIZATION": "Token \xff"},
        {"REQUEST_METHOD": "GET"},
        {"REQUEST_METHOD": "OPTIONS"},
        {"PATH_INFO": "/process-events/x"},
        {"QUERY_STRING": "dry_run=true"},
        {"QUERY_STRING": "dry_run=maybe"},
        {"CONTENT_TYPE": "text/plain"},
        {"CONTENT_TYPE": None},
        {"CONTENT_TYPE": "application/x-ndjson"},
        {"CONTENT_TYPE": "application/json; charset=utf-16"},
        {"CONTENT_TYPE": "Application/JSON"},
        {"CONTENT_LENGTH": "0"},
        {"CONTENT_LENGTH": "7"},
        {"CONTENT_LENGTH": "x"},
        {"CONTENT_LENGTH": None},
        {"CONTENT_LENGTH": "99999999"},
        {"HTTP_HOST": "elsewhere.example"},
        {"HTTP_CONTENT_ENCODING": "gzip"},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"HTTP_COOKIE": "sessionid=x"},
        {"wsgi.url_scheme": "https"},
    ],
    ids=str,
)
def test_whatever_is_not_plain_is_answered_as_by_the_view(pair: Pair, changes: dict[str, Any]) -> None:
    pair.same(report(), **changes)


@pytest.mark.parametrize("kind", sorted(kind.decode() for kind in shortcut.KINDS))
@pytest.mark.parametrize("path", sorted(path.decode() for path in shortcut.PATHS))
def test_plain_events_are_answered_as_by_the_view(kind: str, path: str) -> None:
    pair = Pair().warm(PATH_INFO=path, CONTENT_TYPE=kind)
    body = report(call_id='\u2028<\x7f\u2029"\\/\b\t😀 ü', event_id=" \x1fx ")
    short, plain = pair.both(body, body, body | {"event": "ANSWER"}, PATH_INFO=path, CONTENT_TYPE=kind)
    assert short == plain
    assert pair.django.asked == 1  # for the conflict
    assert [told[0][:3] for told in short[:3]] == ["200", "200", "409"]


def test_nothing_is_answered_before_django_has_shown_how(settings: Any) -> None:
    pair = Pair()
    for turn in range(ALIKE + 2):
        ask(pair.short, report(), key=pair.key)
        assert pair.django.asked == min(turn + 1, ALIKE)


def test_headers_that_change_from_answer_to_answer_are_never_repeated() -> None:
    pair = Pair()
    counted = Django()

    def numbered(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: Any, *more: Any) -> Any:
            return start_response(status, [*headers, ("X-Request-ID", str(counted.asked))], *more)

        return counted(environ, start)

    pair.short = ByWSGI(numbered)
    ids = [ask(pair.short, report(), key=pair.key)[1]["x-request-id"] for _ in range(5)]
    assert ids == ["1", "2", "3", "4", "5"]


def test_a_host_that_django_refuses_is_never_learnt() -> None:
    pair = Pair()
    for _ in range(5):
        assert ask(pair.short, report(), key=pair.key, HTTP_HOST="elsewhere.example")[0].startswith("400")


def test_what_takes_the_token_away_counts_at_once(pair: Pair) -> None:
    assert ask(pair.short, report(), key=pair.key)[0] == "200"
    AccessToken.objects.all().delete()
    assert ask(pair.short, report(), key=pair.key)[0].startswith("401")


def test_what_takes_the_right_away_counts_at_once(pair: Pair) -> None:
    AccessToken.objects.get().user.groups.clear()
    assert ask(pair.short, report(), key=pair.key)[0].startswith("403")


def test_without_group_commit_there_is_no_shortcut(pair: Pair, settings: Any) -> None:
    settings.GROUP_COMMIT = False
    assert ask(pair.short, report(), key=pair.key)[0] == "200"
    assert pair.django.asked == 1


def test_a_database_that_fails_is_answered_by_django(pair: Pair) -> None:
    pair.short.landing.fails = True
    assert ask(pair.short, report(), key=pair.key)[0] == "200"
    assert pair.django.asked == 1


# -- Anything at all, side by side --------------------------------------------------------------------

BODIES: list[bytes] = [
    b"", b"   ", b"{", b"not json", b"null", b"5", b'"text"', b'{"event_id": NaN}', b"\xff\xfe", b"[]", b"[{}]",
    b'{"event_id": "\xff"}', b'{"event_id": "\\ud800"}', b'{"event_id": 1e999}',
    b'{"x":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"x": ' + b"[" * 40 + b"]" * 40 + b"}", b'{"event_id": ' + b"1" * 5_000 + b"}", b"{} {}", b'{"a":1,"a":2}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:20].decode("latin-1"))
def test_bad_bodies_are_answered_as_by_the_view(pair: Pair, body: bytes) -> None:
    pair.same(body)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(report()).encode() + b" \n",
        b" " + json.dumps(report()).encode(),
        b"\xef\xbb\xbf" + json.dumps(report()).encode(),
        json.dumps(report(padding="x" * 70_000)).encode(),
        json.dumps(report(metadata={"a": [1, 2.5, None, True, 10**30]}, queue="ü")).encode(),
        json.dumps(report(event_id=7, call_id=10**30)).encode(),
        json.dumps(report(event_id="a\x00")).encode(),
        json.dumps([report(), report()]).encode(),
    ],
    ids=range(8),
)
def test_odd_but_lawful_bodies_are_answered_as_by_the_view(pair: Pair, body: bytes) -> None:
    pair.same(body, body)


@pytest.mark.parametrize(
    "time",
    [
        "2024-04-01T12:00:00",
        "2024-04-01 12:00:60Z",
        "20240401T120000+0200",
        "2024-04-01T12:00:00.1234567Z",
        "2024-04-01",
    ],
)
def test_times_are_read_as_by_the_view(pair: Pair, time: str) -> None:
    pair.same(report(created_at=time))


@settings(max_examples=150)
@given(change=st.dictionaries(st.sampled_from([*REQUIRED, "other"]), JSON, max_size=3), again=st.booleans())
def test_whatever_stands_in_the_fields_is_answered_as_by_the_view(pair: Pair, change: Any, again: bool) -> None:
    body = report() | change
    pair.same(body, body if again else body | {"event": "ANSWER"})


@settings(max_examples=150)
@given(body=st.binary(max_size=120))
def test_whatever_bytes_come_are_answered_as_by_the_view(pair: Pair, body: bytes) -> None:
    pair.same(body)


@settings(max_examples=40)
@given(
    events=st.lists(
        st.tuples(st.sampled_from(["INITIATE", "ANSWER", "DISCONNECT"]), st.integers(0, 59), st.sampled_from("abcd")),
        max_size=6,
    )
)
def test_a_call_told_in_any_order_is_stored_as_by_the_view(pair: Pair, events: Any) -> None:
    bodies = [
        report(event=word, created_at=f"2024-04-01T12:00:{second:02}Z", event_id=name) for word, second, name in events
    ]
    pair.same(*bodies)
