"""Group commit: one transaction for all who wait, and nobody pays for another's mistake."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Signal
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from calls.models import Call, CallEvent
from calls.operations import record as recording
from calls.operations import together
from calls.operations.outcomes import Result
from calls.operations.record import committer, record
from calls.operations.together import Committer
from tests.build import build_event
from tests.operations.test_record_concurrently import healthy

pytestmark = pytest.mark.django_db(transaction=True)


class Gate:
    """Lets a test hold the committing thread at its work, so that the others must queue up."""

    def __init__(self, write: Any) -> None:
        self.write, self.entered, self.open, self.groups = write, Signal(), Signal(), []

    def __call__(self, things: Any) -> Any:
        self.groups.append(list(things))
        self.entered.set()
        assert self.open.wait(30)
        return self.write(things)


def waiting(queue: Any, count: int) -> None:
    """Wait until so many are in a committer's queue."""
    while len(queue._queue) < count:
        pass


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def echo(things: Any) -> list[str]:
    if "bad" in things:
        raise ValueError("bad")
    return [f"{thing}!" for thing in things]


def test_who_waits_at_the_same_moment_is_written_in_one_group(pool: ThreadPoolExecutor) -> None:
    gate = Gate(echo)
    queue: Committer[str, str] = Committer(gate)
    first = pool.submit(queue.submit, ["a"])
    assert gate.entered.wait(30)
    rest = [pool.submit(queue.submit, [name, name.upper()]) for name in "bcdef"]
    waiting(queue, 5)
    gate.open.set()
    assert first.result(30) == ["a!"]
    assert [one.result(30) for one in rest] == [[f"{name}!", f"{name.upper()}!"] for name in "bcdef"]
    assert [len(group) for group in gate.groups] == [1, 10]
    queue.stop()


def test_a_bad_one_hurts_nobody_else(pool: ThreadPoolExecutor) -> None:
    gate = Gate(echo)
    queue: Committer[str, str] = Committer(gate)
    first = pool.submit(queue.submit, ["a"])
    assert gate.entered.wait(30)
    good, bad, also = (pool.submit(queue.submit, [name]) for name in ("good", "bad", "also"))
    waiting(queue, 3)
    gate.open.set()
    assert (first.result(30), good.result(30), also.result(30)) == (["a!"], ["good!"], ["also!"])
    with pytest.raises(ValueError, match="bad"):
        bad.result(30)
    queue.stop()


def test_a_committer_that_was_stopped_or_idle_starts_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(together, "IDLE_SECONDS", 0.001)
    queue: Committer[str, str] = Committer(echo)
    for name in "abc":
        assert queue.submit([name]) == [f"{name}!"]
        thread = queue._thread
        if thread is not None:
            thread.join(30)
    queue.stop()
    assert queue.submit(["d"]) == ["d!"]
    queue.stop()
    queue.stop()


def test_what_a_commit_sets_off_does_not_wait_for_itself() -> None:
    def write(things: Any) -> list[Any]:
        return [queue.submit([thing - 1]) if thing else "done" for thing in things]

    queue: Committer[int, Any] = Committer(write)
    assert queue.submit([2]) == [[["done"]]]
    queue.stop()


def test_an_event_that_the_database_cannot_take_hurts_no_other_event(
    pool: ThreadPoolExecutor, monkeypatch: Any
) -> None:
    gate = Gate(recording._record_alone)
    monkeypatch.setattr(committer, "_write", gate)
    first = pool.submit(record, [build_event(call_id="first")])
    assert gate.entered.wait(30)
    good = pool.submit(record, [build_event(call_id="good")])
    bad = pool.submit(record, [build_event(call_id="bad", metadata={"not": object()})])
    waiting(committer, 2)
    gate.open.set()
    assert [one.result(30)[0].result for one in (first, good)] == [Result.CREATED] * 2
    with pytest.raises(TypeError):
        bad.result(30)
    assert set(Call.objects.values_list("external_id", flat=True)) == {"first", "good"}
    assert CallEvent.objects.count() == 2
    assert healthy()


@pytest.mark.postgresql
def test_a_lost_connection_is_opened_again() -> None:
    record([build_event()])
    for _ in range(3):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cursor.rowcount >= 1  # the committer's; and the bell's, which rings from a thread of its own
        assert record([build_event("dtmf")])[0].result is Result.CREATED
    assert Call.objects.get().version == 4


@pytest.mark.postgresql
def test_a_database_that_is_away_is_an_error_for_each_and_no_end(monkeypatch: Any, pool: ThreadPoolExecutor) -> None:
    record([build_event()])
    committer.stop()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    lost = [pool.submit(record, [build_event("dtmf")]) for _ in range(4)]
    for one in lost:
        with pytest.raises(OperationalError):
            one.result(30)
    monkeypatch.undo()
    assert record([build_event("dtmf")])[0].result is Result.CREATED


def test_inside_an_open_transaction_nothing_is_handed_to_others() -> None:
    with transaction.atomic():
        record([build_event()])
        assert committer._thread is None
        transaction.set_rollback(True)
    assert not Call.objects.exists()
