"""Work that is shared out over processes, each with Django and a connection to the database of its own.

Nothing is forked: a process begins anew (`spawn`), so that no connection, lock or thread of ours is in two of them.
This module is what it imports first, before Django is set up, and so knows nothing of calls.
"""

import atexit
import gc
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

import django
from django.db import connection, connections

# What the process that this is was begun for.
_job: Callable[..., Any]


class Workers:
    """Processes that each do what they are given, one thing after the other; leaving the block ends them."""

    def __init__(self, count: int, job: Callable[..., Any], *, begin: Callable[[], object]) -> None:
        """Start processes that first call `begin`, and then `job` with whatever is submitted; both are pickled."""
        self._stack = ExitStack()
        told = pickle.dumps((begin, job)), str(connection.settings_dict["NAME"])
        spawn = get_context("spawn")
        self._pools = [self._stack.enter_context(ProcessPoolExecutor(1, spawn, _begin, told)) for _ in range(count)]
        with _interrupts_held():
            for pool in self._pools:
                pool.submit(os.getpid)  # the first thing to do starts a process

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def submit(self, number: int, *what: Any) -> "Future[Any]":
        """Have one of the processes do something; its error, if there is one, is the future's."""
        return self._pools[number].submit(_do, *what)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes in here that never hear of Ctrl-C, which is for us to deal with; it is only heard later."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(told: bytes, database: str) -> None:
    global _job
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    django.setup()
    connections.settings[connection.alias]["NAME"] = database  # tests have another than the settings say
    begin, _job = pickle.loads(told)  # noqa: S301 - our own parent's, through a pipe that only we have
    begin()
    # What is there by now stays, and what comes lives for a stretch: looking for garbage more often finds none.
    gc.freeze()
    gc.set_threshold(50_000)
    atexit.register(connections.close_all)


def _end_with_parent() -> None:
    """Leave nobody behind who would wait for a parent that was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(*what: Any) -> Any:
    return _job(*what)
