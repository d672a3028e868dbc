"""What is counted while the service runs, for Prometheus (https://prometheus.io/docs/concepts/metric_types/).

Every process counts for itself in memory. Where PROMETHEUS_MULTIPROC_DIR names a folder (`manage.py serve` makes
one), the client library keeps the counts in files there, and whichever process is asked adds up those of all.
What lies on the way of every event is only set aside, and counted by a thread soon afterwards; nothing here
may fail an ingest (docs/decisions/0018-health-and-metrics.md).
"""

import logging
import os
import threading
from bisect import bisect_right
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import sleep
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

OURS = CollectorRegistry()
# HTTP's methods (RFC 9110, RFC 5789); whatever else a caller writes there makes no label of its own.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# How long what was set aside waits until it is counted, in seconds.
PAUSE_SECONDS = 1.0

T = TypeVar("T")


class ManyAtOnce(Histogram):
    """A histogram that takes the values of a batch at the cost of a few."""

    def observe_many(self, values: Iterable[float]) -> None:
        """Count each value in its bucket."""
        found = sorted(values)
        self._sum.inc(sum(found))
        before = 0
        for bucket, bound in enumerate(self._upper_bounds):
            below = bisect_right(found, bound)
            if below > before:
                self._buckets[bucket].inc(below - before)
            before = below


EVENTS = Counter(
    "phonegoggles_events",
    "Reported events and those of our buttons, by where they came from and what became of them.",
    ["source", "result"],
    registry=OURS,
)
REFUSED = Counter(
    "phonegoggles_refused_reports",
    "Reports of authenticated senders that were refused, by door and status of the answer.",
    ["door", "status"],
    registry=OURS,
)
COMMIT = ManyAtOnce(
    "phonegoggles_commit_seconds",
    "From handing reported events to the database until they are durably committed, of one report or batch.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
    registry=OURS,
)
LAG = ManyAtOnce(
    "phonegoggles_event_lag_seconds",
    "From when a new event happened, as its sender says, until it was received; 0 where it lies ahead.",
    ["source"],
    buckets=(0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400, 604_800),
    registry=OURS,
)
SOCKETS = Gauge(
    "phonegoggles_sockets_open",
    "WebSockets that are open now.",
    multiprocess_mode="livesum",
    registry=OURS,
)
REQUESTS = Counter(
    "phonegoggles_requests",
    "Answered requests, by the name of their address, method and status.",
    ["view", "method", "status"],
    registry=OURS,
)


def count_events(source: str, became: Mapping[str, int]) -> None:
    """Count events of a source by what became of them."""
    for result, times in became.items():
        EVENTS.labels(source, result).inc(times)


def count_refused(door: str, statuses: Iterable[int]) -> None:
    """Count refused reports of a door by the status of their answers."""
    for status, times in Tally(statuses).items():
        REFUSED.labels(door, str(status)).inc(times)


class Later(Generic[T]):
    """Sets things aside at the cost of a list's append, and has them counted by a thread of the process."""

    _all: "list[Later[Any]]" = []
    _lock = threading.Lock()
    _process = 0

    def __init__(self, count: Callable[[list[T]], None]) -> None:
        self._count = count
        self._aside: deque[T] = deque()
        self._all.append(self)

    def add(self, thing: T) -> None:
        """Set one thing aside."""
        self._aside.append(thing)
        if Later._process != os.getpid():  # a forked process has not inherited the thread
            with Later._lock:
                if Later._process != os.getpid():
                    threading.Thread(target=_count_again_and_again, name="metrics", daemon=True).start()
                    Later._process = os.getpid()

    def count(self) -> None:
        """Count what was set aside up to now."""
        things = []
        try:
            while True:
                things.append(self._aside.popleft())
        except IndexError:
            pass
        try:
            if things:
                self._count(things)
        except Exception:
            logger.exception("Something could not be counted.")


def count_request(view: str, method: str | None, status: int) -> None:
    """Count an answered request, within a second; `view` is the name of its address, never what the caller wrote."""
    _answered.add((view, method if method in METHODS else "other", status))


def _count_requests(answered: list[tuple[str, str | None, int]]) -> None:
    for (view, method, status), times in Tally(answered).items():
        REQUESTS.labels(view, method, str(status)).inc(times)


_answered = Later(_count_requests)


def count_all() -> None:
    """Count what was set aside in this process up to now."""
    for later in Later._all:
        later.count()


def _count_again_and_again() -> None:
    while True:
        sleep(PAUSE_SECONDS)
        count_all()


def write_out(*more: Collector) -> bytes:
    """Return everything that is counted, in all processes, in Prometheus's text format; `more` is added to it."""
    count_all()
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        parts = [generate_latest(OURS)]
    else:
        gathered = CollectorRegistry()
        MultiProcessCollector(gathered, folder)  # type: ignore[no-untyped-call]
        parts = [generate_latest(gathered)]
    for collector in more:
        registry = CollectorRegistry()
        registry.register(collector)
        parts.append(generate_latest(registry))
    return b"".join(parts)
