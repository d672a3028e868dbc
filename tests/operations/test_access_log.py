"""Who looked at which number's calls."""

import csv
import io
import json
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import Client as Browser
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls.admin.addresses import number_url
from calls.api.live import note_listener, read_query
from calls.models import AccessLogEntry, Call, CallRecording
from calls.models.access_log import Look
from calls.models.fingerprints import number_fingerprints
from calls.operations import access_log
from calls.operations.access_log import flush, looked_at
from calls.operations.erase import begin, run
from calls.operations.record import record
from calls.queries.access_log import looks_at
from calls.web.sockets import Visitor
from tests.admin.pages import make_staff, page_of, rows_of, visit
from tests.admin.rows import make_client
from tests.build import at, build_event, send, sign_in

NUMBER, OTHER = "+12025550123", "+442079460000"
LOG = "/admin/calls/accesslogentry/"


@pytest.fixture(autouse=True)
def _switched_on(settings: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    settings.ACCESS_LOG = True
    if request.node.get_closest_marker("django_db").kwargs.get("transaction") is None:
        # The thread would write outside the transaction of the test.
        monkeypatch.setattr(access_log, "_start", lambda: None)
    yield
    access_log._waiting.clear()


def make() -> Call:
    record([build_event("initiated", calling_number=NUMBER, called_number=OTHER, direction="inbound"),
            build_event("ended", 9, calling_number=NUMBER, called_number=OTHER)])  # fmt: skip
    return Call.objects.get()


def looks(number: str = NUMBER) -> list[str]:
    flush()
    return list(looks_at(number).order_by("pk").values_list("what", flat=True))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/call-history/%2B12025550123/", "history"),
        ("/call-history/12025550123/?format=csv", "history_export"),
        ("/api/call-logs/?number=%2B12025550123", "call_list"),
        ("/api/call-logs/?search=%2B12025550123", "call_list"),
        ("/api/call-logs/?client={client}", "call_list"),
        ("/api/call-logs/call-1/", "call"),
        ("/api/call-logs/call-1/explain/", "call"),
        ("/api/clients/{client}/call_history/", "client_history"),
    ],
)
def test_a_look_through_the_api_is_written_down(path: str, what: str) -> None:
    call, client = make(), make_client(NUMBER)
    browser = sign_in("Analysts", name="ada")
    assert browser.get(path.format(client=client.pk)).status_code == 200
    assert looks() == [what]
    entry = AccessLogEntry.objects.order_by("pk").first()
    assert entry is not None
    assert (entry.user_name, entry.call_id) == ("ada", call.pk if what == "call" else None)
    assert looks(OTHER) == (["call"] if what == "call" else [])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/api/call-logs/", "/api/call-logs/?status=ended", "/api/call-logs/?search=Ada", "/api/clients/"]
)
def test_what_is_no_look_at_a_number_is_not_written_down(path: str) -> None:
    make()
    assert sign_in("Analysts").get(path).status_code == 200
    flush()
    assert not AccessLogEntry.objects.exists()


@pytest.mark.django_db
def test_looks_in_the_admin_are_written_down() -> None:
    call, browser = make(), visit()
    for path in (
        number_url(NUMBER), page_of(call), "/admin/calls/call/?q=%2B12025550123",
        "/admin/calls/callevent/?q=%2B12025550123", "/admin/calls/call/export.csv?q=%2B12025550123",
    ):  # fmt: skip
        assert browser.get(path).status_code == 200
    assert looks() == ["admin_number", "admin_call", "admin_search", "admin_search", "admin_export"]
    browser.get("/admin/calls/call/export.csv")
    flush()
    assert AccessLogEntry.objects.filter(what=Look.ADMIN_EXPORT, number_hmac="").count() == 1


@pytest.mark.django_db
def test_who_hears_or_reads_what_was_said_is_written_down(tmp_path: Any, settings: Any) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    call = make()
    telephony, analyst = sign_in("Telephony systems"), sign_in("Analysts", name="ada")
    told = send(telephony, "POST", "webhooks/recording/", {"call_id": "call-1", "status": "pending"}).json()
    path = f"/api/recordings/{told['recording_id']}/"
    assert analyst.get(f"{path}file/").status_code == 404
    assert telephony.generic("PUT", f"{path}file/", b"sound", "audio/wav").status_code == 200
    assert looks() == []
    assert analyst.get(path).status_code == 200
    assert analyst.get(f"{path}file/").status_code == 200
    assert analyst.get(f"{path}file/", headers={"Range": "bytes=1-"}).status_code == 206
    assert visit().get(page_of(CallRecording.objects.get())).status_code == 200
    assert looks() == looks(OTHER) == ["recording"] * 4
    entry = AccessLogEntry.objects.order_by("pk").first()
    assert entry is not None
    assert (entry.user_name, entry.call_id) == ("ada", call.pk)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "noted"),
    [
        ("number=%2B12025550123", [NUMBER]),
        ("number=12025550123", [NUMBER]),
        ("client={client}", [OTHER]),
        ("call=call-1", [NUMBER, OTHER]),
        ("call=unknown", []),
        ("status=answered", [""]),
        ("", [""]),
    ],
)
def test_who_listens_is_written_down_with_what_they_asked_for(query: str, noted: list[str]) -> None:
    make()
    client = make_client(OTHER)
    user = make_staff(group="Analysts")
    wanted, _ = read_query(RequestFactory().get(f"/ws/calls/?{query.format(client=client.pk)}"))
    note_listener(Visitor(user.pk), wanted)
    flush()
    entries = AccessLogEntry.objects.filter(what=Look.LIVE, user=user)
    expected = {number_fingerprints(number)[0] if number else "" for number in noted}
    assert set(entries.values_list("number_hmac", flat=True)) >= expected
    assert bool(entries) == bool(noted)


@pytest.mark.django_db
def test_who_may_not_look_is_not_written_down() -> None:
    make()
    assert sign_in("Telephony systems").get("/call-history/12025550123/").status_code == 403
    assert looks() == []


@pytest.mark.django_db
def test_the_log_holds_no_number_and_outlives_an_erasure() -> None:
    make()
    sign_in("Analysts").get("/call-history/12025550123/")
    for _ in run(begin(NUMBER, user=None, at=timezone.now())):
        pass
    assert looks() == ["history"]
    for entry in AccessLogEntry.objects.values():
        assert NUMBER[1:] not in json.dumps(entry, default=str)


@pytest.mark.django_db
def test_a_read_does_not_write() -> None:
    make()
    browser = sign_in("Analysts")
    browser.get("/call-history/12025550123/")
    with CaptureQueriesContext(connection) as queries:
        browser.get("/call-history/12025550123/")
    assert not [query for query in queries.captured_queries if "accesslog" in query["sql"]]


@pytest.mark.django_db
def test_a_log_that_cannot_be_written_breaks_no_read_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise DatabaseError("disk full")

    make()
    browser = sign_in("Analysts")
    with monkeypatch.context() as patch:
        patch.setattr(access_log, "_write", broken)
        assert browser.get("/call-history/12025550123/").status_code == 200
        assert flush() == 0
    assert looks() == ["history"]


@pytest.mark.django_db
def test_looks_that_come_while_others_are_written_wait_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load there are always some: each few would have a transaction, and the thread no end."""
    user, write = User.objects.create_user("ada"), access_log._write

    def slow(batch: Any) -> None:
        if len(access_log._waiting) < 5:
            looked_at(user, [OTHER], what=Look.HISTORY, at=at(1))
        write(batch)

    looked_at(user, [NUMBER, OTHER], what=Look.HISTORY, at=at(0))
    with monkeypatch.context() as patch:
        patch.setattr(access_log, "_write", slow)
        patch.setattr(access_log, "WRITTEN_AT_ONCE", 1)
        assert flush() == 2
    assert flush() == 2
    assert AccessLogEntry.objects.count() == 4


@pytest.mark.django_db
def test_a_user_who_is_gone_before_the_look_is_written_is_still_named() -> None:
    user = User.objects.create_user("ada")
    looked_at(user, [NUMBER], what=Look.HISTORY, at=at(0))
    user.delete()
    assert flush() == 1
    assert AccessLogEntry.objects.values_list("user", "user_name").get() == (None, "ada")


@pytest.mark.django_db
def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(access_log, "MOST_WAITING", 3)
    monkeypatch.setattr(access_log, "_waiting", type(access_log._waiting)(maxlen=3))
    user = User.objects.create_user("ada")
    for place in range(5):
        looked_at(user, [f"+1202555012{place}"], what=Look.HISTORY, at=at(place))
    assert flush() == 3
    assert "2 looks were lost" in caplog.text


@pytest.mark.django_db
def test_it_can_be_switched_off(settings: Any) -> None:
    settings.ACCESS_LOG = False
    make()
    sign_in("Analysts").get("/call-history/12025550123/")
    assert looks() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("groups")
def test_the_thread_of_a_process_writes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    written, real = Event(), access_log.flush

    def telling() -> int:
        count = real()
        written.set()
        return count

    monkeypatch.setattr(access_log, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(access_log, "flush", telling)
    make()
    sign_in("Analysts").get("/call-history/12025550123/")
    assert written.wait(30)
    assert looks_at(NUMBER).count() == 1


def some_looks() -> User:
    user = User.objects.create_user("=ada")
    for place, number in enumerate((NUMBER, OTHER, NUMBER)):
        looked_at(user, [number], what=Look.HISTORY, at=at(place))
    flush()
    return user


def export(*options: str) -> str:
    out = io.StringIO()
    call_command("export_access_log", *options, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_log_is_exported_whole_or_for_one_number() -> None:
    some_looks()
    rows = list(csv.DictReader(io.StringIO(export())))
    assert [row["at"] for row in rows] == ["2024-04-01T12:00:00Z", "2024-04-01T12:00:01Z", "2024-04-01T12:00:02Z"]
    assert {row["user"] for row in rows} == {"'=ada"}
    lines = [json.loads(line) for line in export("--format", "ndjson", "--number", "+1 202-555-0123").splitlines()]
    assert [line["at"] for line in lines] == ["2024-04-01T12:00:00Z", "2024-04-01T12:00:02Z"]
    assert len(export("--since", "2024-04-01T12:00:01Z", "--until", "2024-04-01T12:00:02Z").splitlines()) == 2
    assert export("--user", "bob").splitlines() == [export().splitlines()[0]]


@pytest.mark.django_db
def test_old_entries_are_purged() -> None:
    user = some_looks()
    looked_at(user, [NUMBER], what=Look.HISTORY, at=timezone.now() - timedelta(days=2))
    flush()
    out = io.StringIO()
    call_command("purge_access_log", stdout=out)
    assert "3 entries removed" in out.getvalue()
    call_command("purge_access_log", "--older-than", "1d", stdout=out)
    assert not AccessLogEntry.objects.exists()


@pytest.mark.django_db
def test_an_entry_can_be_neither_changed_nor_deleted() -> None:
    some_looks()
    entry = AccessLogEntry.objects.first()
    assert entry is not None
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        entry.delete()
    browser: Browser = visit()
    for part in ("change", "delete"):
        assert browser.post(page_of(entry, part=part), {"post": "yes", "user_name": "x"}).status_code == 403
    assert browser.get(f"{LOG}add/").status_code == 403
    assert browser.get(page_of(entry)).status_code == 200


@pytest.mark.django_db
def test_the_admin_finds_who_looked_at_a_number_and_downloads_it() -> None:
    some_looks()
    browser = visit()
    assert len(rows_of(browser.get(LOG))) == 3
    for spelling in ("+12025550123", "12025550123", "+1 (202) 555-0123"):
        assert len(rows_of(browser.get(LOG, {"q": spelling}))) == 2, spelling
    lines = b"".join(browser.get(f"{LOG}export.csv", {"q": NUMBER})).decode().splitlines()
    assert len(lines) == 3


@pytest.mark.django_db
@pytest.mark.parametrize("group", ["Analysts", "Operators"])
def test_the_log_is_not_for_those_who_are_in_it(group: str) -> None:
    some_looks()
    browser = visit(make_staff(group=group))
    assert browser.get(LOG).status_code == 403


@pytest.mark.django_db
def test_an_entry_outlives_its_user() -> None:
    some_looks().delete()
    assert set(AccessLogEntry.objects.values_list("user", "user_name")) == {(None, "=ada")}
