"""Threads of which few work at a time, however many requests there are (docs/decisions/0028).

Python runs one thread at a time. Sixteen that want to run fight for that, and the event loop, which takes requests in
and sends answers out, is one of seventeen. So few threads take work; one that waits for a commit lets another one
take work meanwhile; and when those who work wait for something else (a slow statement) while work is
waiting, the process is idle, which is looked for now and then: one more may work.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, process_time
from typing import TypeAlias

logger = logging.getLogger(__name__)

Work: TypeAlias = Callable[[], object]

# With more than these at work everything takes longer; with fewer, histories do, which wait a little for the database.
AT_WORK = 5
# How often it is looked whether what waits should wait, in seconds.
LOOK_SECONDS = 0.005
# A process that uses less than this of a processor has threads that wait, not threads that compute.
BUSY = 0.5


class Threads:
    """Does work in threads, in the order in which it comes."""

    def __init__(self, most: int, at_work: int = AT_WORK) -> None:
        self._most, self._wanted = most, at_work
        self._waiting: deque[Work] = deque()
        self._lock = threading.Lock()
        self._idle: list[threading.Lock] = []
        self._working = self._total = 0
        self._looked = (monotonic(), process_time())
        self._ended = False

    def do(self, work: Work) -> bool:
        """Have some work done; say whether a thread was there for it, else it waits for one."""
        with self._lock:
            self._waiting.append(work)
            if self._working >= self._wanted:
                return False
            return self._one_more()

    def look(self) -> bool:
        """Have one more work if the process is idle; to be called every LOOK_SECONDS while this returns True."""
        (then, used), now = self._looked, (monotonic(), process_time())
        self._looked = now
        with self._lock:
            if self._waiting and now[1] - used < BUSY * (now[0] - then):
                self._one_more()
            return bool(self._waiting)

    @contextmanager
    def left(self) -> Iterator[None]:
        """Wait for something, in one of the threads, while another one may work."""
        with self._lock:
            self._working -= 1
            if self._waiting and self._working < self._wanted:
                self._one_more()
        try:
            yield
        finally:
            with self._lock:
                self._working += 1

    def end(self) -> None:
        """Do nothing more."""
        with self._lock:
            self._ended = True
            self._waiting.clear()
            for idle in self._idle:
                idle.release()
            self._idle.clear()

    def _one_more(self) -> bool:
        if self._idle:
            self._idle.pop().release()
        elif self._total < self._most:
            self._total += 1
            threading.Thread(target=self._work, name=f"request_{self._total}", daemon=True).start()
        else:
            return False
        self._working += 1
        return True

    def _work(self) -> None:
        mine = threading.Lock()
        mine.acquire()
        is_called = True  # for some work, by somebody who has judged that there may be one more
        while True:
            with self._lock:
                if self._ended:
                    return
                if self._waiting and (is_called or self._working <= self._wanted):
                    work = self._waiting.popleft()
                else:
                    self._working -= 1
                    self._idle.append(mine)
                    work = None
            is_called = work is None
            if work is None:
                mine.acquire()
                continue
            try:
                work()
            except BaseException:
                logger.exception("Some work failed")
