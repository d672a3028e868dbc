"""Few threads work at a time: in order, one more where one waits or where all do, and none is left behind."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from phonegoggles import threads
from phonegoggles.threads import Threads

# How long something that must come may take, in seconds.
PATIENCE = 30


class Job:
    """Some work that says when it has begun, and ends when it is let go."""

    def __init__(self, around: Callable[[], Any] | None = None) -> None:
        self.begun, self.free, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.thread = ""
        self._around = around

    def __call__(self) -> None:
        self.thread = threading.current_thread().name
        self.begun.set()
        if self._around is None:
            assert self.free.wait(PATIENCE)
        else:
            with self._around():
                assert self.free.wait(PATIENCE)
        self.ended.set()

    def begins(self) -> bool:
        return self.begun.wait(PATIENCE)

    def finish(self) -> None:
        self.free.set()
        assert self.ended.wait(PATIENCE)


@pytest.fixture
def pool() -> Iterator[Callable[..., Threads]]:
    made: list[Threads] = []

    def make(most: int, at_work: int = 1) -> Threads:
        made.append(Threads(most, at_work))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Threads], bool]:
    """Look as if the process had computed nothing, or (`used`) all the time, since the last look."""
    clock = {"now": 0.0, "used": 0.0}
    monkeypatch.setattr(threads, "monotonic", lambda: clock["now"])
    monkeypatch.setattr(threads, "process_time", lambda: clock["used"])

    def look(these: Threads, used: float = 0.0) -> bool:
        clock["now"] += 1
        clock["used"] += used
        return these.look()

    return look


def settled(these: Threads) -> None:
    """Wait until no thread is on its way to or from work: whoever is not at work has said so."""
    done = threading.Event()
    while not done.wait(0.001):
        with these._lock:
            if these._working == 0 and len(these._idle) == these._total:
                done.set()


def test_work_is_done_in_the_order_in_which_it_comes(pool: Any) -> None:
    these, done, last = pool(4), [], threading.Event()
    first = Job()
    assert these.do(first) is True
    assert first.begins()
    for number in range(50):
        assert these.do(lambda number=number: done.append(number)) is False
    these.do(last.set)
    assert done == []
    first.finish()
    assert last.wait(PATIENCE)
    assert done == list(range(50))


def test_so_many_work_at_once_and_no_more(pool: Any) -> None:
    these, jobs = pool(8, 3), [Job() for _ in range(6)]
    assert [these.do(job) for job in jobs] == [True, True, True, False, False, False]
    assert all(job.begins() for job in jobs[:3])
    assert not any(job.begun.is_set() for job in jobs[3:])
    jobs[1].finish()
    assert jobs[3].begins()
    assert not any(job.begun.is_set() for job in jobs[4:])
    for job in (jobs[0], jobs[2]):
        job.finish()
    assert jobs[4].begins()
    assert jobs[5].begins()
    for job in jobs[3:]:
        job.finish()


def test_a_thread_is_used_again(pool: Any) -> None:
    these, names = pool(4), set()
    for _ in range(20):
        job = Job()
        these.do(job)
        assert job.begins()
        job.finish()
        settled(these)
        names.add(job.thread)
    assert len(names) == 1


def test_whoever_waits_lets_another_one_work(pool: Any) -> None:
    these = pool(4)
    waits, works, late = Job(these.left), Job(), Job()
    these.do(waits)
    assert waits.begins()
    these.do(works)
    assert works.begins()
    assert these.do(late) is False
    # Back from its wait while the other works: two are at work, and the next comes when one of them is left.
    waits.finish()
    assert not late.begun.is_set()
    works.finish()
    assert late.begins()
    late.finish()
    settled(these)


def test_work_that_waits_already_begins_when_somebody_starts_waiting(pool: Any) -> None:
    these, go = pool(4), threading.Event()
    waits, late = Job(these.left), Job()

    def first() -> None:
        assert go.wait(PATIENCE)
        waits()

    these.do(first)
    assert these.do(late) is False
    go.set()
    assert waits.begins()
    assert late.begins()
    waits.finish()
    late.finish()
    settled(these)


def test_a_wait_that_fails_counts_as_work_again(pool: Any) -> None:
    these = pool(2)

    def fails() -> None:
        with these.left():
            raise RuntimeError

    these.do(fails)
    settled(these)
    one, two = Job(), Job()
    assert these.do(one) is True
    assert these.do(two) is False
    assert one.begins()
    one.finish()
    assert two.begins()
    two.finish()


def test_an_idle_process_takes_one_more(pool: Any, idle: Any) -> None:
    """Those at work wait for something that nobody has told us of, a slow statement, say."""
    these, jobs = pool(3, 1), [Job() for _ in range(4)]
    for job in jobs:
        these.do(job)
    assert jobs[0].begins()
    assert idle(these) is True
    assert jobs[1].begins()
    assert not jobs[2].begun.is_set()
    assert idle(these) is True
    assert jobs[2].begins()
    # There are no more threads, however idle they are.
    assert idle(these) is True
    assert not jobs[3].begun.is_set()
    for job in jobs[:3]:
        job.finish()
    assert jobs[3].begins()
    jobs[3].finish()
    settled(these)
    assert idle(these) is False


def test_a_busy_process_takes_no_more(pool: Any, idle: Any) -> None:
    these, first, late = pool(3, 1), Job(), Job()
    these.do(first)
    these.do(late)
    assert first.begins()
    assert idle(these, used=0.9) is True
    assert these._total == 1
    first.finish()
    assert late.begins()
    late.finish()


def test_after_an_idle_time_there_are_as_few_at_work_as_before(pool: Any, idle: Any) -> None:
    these, jobs = pool(4, 1), [Job() for _ in range(5)]
    for job in jobs[:3]:
        these.do(job)
    assert jobs[0].begins()
    for job in jobs[1:3]:
        idle(these)
        assert job.begins()
    these.do(jobs[3])
    these.do(jobs[4])
    jobs[0].finish()
    jobs[1].finish()
    assert not jobs[3].begun.is_set()
    jobs[2].finish()
    assert jobs[3].begins()
    assert not jobs[4].begun.is_set()
    jobs[3].finish()
    assert jobs[4].begins()
    jobs[4].finish()


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_work_that_fails_ends_no_thread(
    pool: Any, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    these = pool(1)

    def fails() -> None:
        raise error("of this work")

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            these.do(fails)
        job = Job()
        these.do(job)
        assert job.begins()
        job.finish()
    assert [record.message for record in caplog.records] == ["Some work failed"] * 3


def test_the_end_ends_all_threads_and_drops_what_waits(pool: Any) -> None:
    these = pool(3, 2)
    before, jobs, late = set(threading.enumerate()), [Job(), Job()], Job()
    for job in jobs:
        these.do(job)
        assert job.begins()
    ours = set(threading.enumerate()) - before
    jobs[0].finish()
    while not these._idle:
        jobs[1].begun.wait(0.001)
    assert len(ours) == 2
    these.do(late)
    assert late.begins()  # one has gone on
    these.do(dropped := Job())
    these.end()
    late.finish()
    jobs[1].finish()
    for thread in ours:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not dropped.begun.is_set()


def test_many_who_ask_at_once_are_all_served(pool: Any) -> None:
    these, done, all_done = pool(5, 2), [], threading.Event()
    lock, present = threading.Lock(), {"now": 0, "most": 0}

    def work(number: int) -> None:
        with lock:
            present["now"] += 1
            present["most"] = max(present["most"], present["now"])
        sum(range(200))
        with lock:
            present["now"] -= 1
            done.append(number)
            if len(done) == 800:
                all_done.set()

    def ask(first: int) -> None:
        for number in range(first, first + 100):
            these.do(lambda number=number: work(number))

    askers = [threading.Thread(target=ask, args=(100 * one,)) for one in range(8)]
    for asker in askers:
        asker.start()
    assert all_done.wait(PATIENCE)
    assert sorted(done) == list(range(800))
    assert present["most"] <= 2
    settled(these)
