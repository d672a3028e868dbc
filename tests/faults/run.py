"""What a fault test is given, and the list of all of them."""

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.cluster import cluster, find_programs
from tests.faults.installation import Tokens, Verdict, prepare, sql, with_path


class LeftOut(Exception):
    """This cannot be tried here; the message says why."""


@dataclass
class Place:
    """Where a fault happens, and for how long."""

    seconds: float
    rows: int
    commit: str | None
    stack: contextlib.ExitStack
    _shared: str | None = None
    _tokens: Tokens | None = None

    def scratch(self) -> Path:
        """Return an empty directory, which goes when all is over."""
        path = Path(tempfile.mkdtemp(prefix="faults-"))
        self.stack.callback(shutil.rmtree, path, ignore_errors=True)
        return path

    def postgresql(self) -> tuple[str, Tokens]:
        """Return a fresh database in the durable cluster that all share."""
        if find_programs() is None:
            raise LeftOut("PostgreSQL's server programs were not found")
        if self._shared is None:
            self._shared = self.stack.enter_context(cluster())
            template = with_path(self._shared, name="template_faults")
            sql(self._shared, "CREATE DATABASE template_faults")
            self._tokens = prepare(template)
        assert self._tokens is not None
        name = f"faults_{uuid.uuid4().hex[:12]}"
        sql(self._shared, f"CREATE DATABASE {name} TEMPLATE template_faults")
        return with_path(self._shared, name=name), self._tokens

    def apart(self, *more: str, parent: Path | None = None) -> "contextlib.AbstractContextManager[str]":
        """Return a durable cluster of one's own, with these settings."""
        if find_programs() is None:
            raise LeftOut("PostgreSQL's server programs were not found")
        return cluster(more=more, parent=parent)

    def sqlite(self, directory: Path | None = None) -> tuple[str, Tokens]:
        """Return a fresh SQLite database."""
        url = f"sqlite:///{((directory or self.scratch()) / 'calls.sqlite3').as_posix()}"
        return url, prepare(url)


Fault: TypeAlias = Callable[[Place], Verdict]
FAULTS: dict[str, Fault] = {}
SLOW: set[str] = set()


def fault(*, slow: bool = False) -> Callable[[Fault], Fault]:
    """Enter a function into the list; `slow` ones are no part of the quick tests."""

    def enter(function: Fault) -> Fault:
        FAULTS[function.__name__] = function
        if slow:
            SLOW.add(function.__name__)
        return function

    return enter


@contextlib.contextmanager
def place(*, seconds: float, rows: int = 1_000_000, commit: str | None = None) -> Iterator[Place]:
    """Yield where faults happen, and tidy up."""
    with contextlib.ExitStack() as stack:
        yield Place(seconds, rows, commit, stack)
