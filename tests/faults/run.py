"""What a fault test is given, and the list of all of them."""

import contextlib
import shutil
import subprocess
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


TEMPLATE = "template_faults"


def program(name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs."""
    try:
        subprocess.run([name, *arguments], check=True, capture_output=True)
    except FileNotFoundError:
        raise LeftOut(f"{name} was not found") from None


@dataclass
class Place:
    """Where a fault happens, and for how long."""

    seconds: float
    rows: int
    commit: str | None
    stack: contextlib.ExitStack
    _shared: str | None = None
    _tokens: Tokens | None = None
    _template: tuple[Path, Tokens] | None = None

    def scratch(self) -> Path:
        """Return an empty directory, which goes when all is over."""
        path = Path(tempfile.mkdtemp(prefix="faults-"))
        self.stack.callback(shutil.rmtree, path, ignore_errors=True)
        return path

    def postgresql(self) -> tuple[str, Tokens]:
        """Return a fresh database in the durable cluster that all share."""
        if find_programs() is None:
            raise LeftOut("PostgreSQL's server programs were not found")
        shared, tokens = self._template_database()
        name = f"faults_{uuid.uuid4().hex[:12]}"
        sql(shared, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return with_path(shared, name=name), tokens

    def _template_database(self) -> tuple[str, Tokens]:
        if self._shared is None:
            self._shared = self.stack.enter_context(cluster())
            sql(self._shared, f"CREATE DATABASE {TEMPLATE}")
            self._tokens = prepare(with_path(self._shared, name=TEMPLATE))
        assert self._tokens is not None
        return self._shared, self._tokens

    def copy_to(self, cluster_url: str) -> tuple[str, Tokens]:
        """Return a fresh database in this other cluster."""
        shared, tokens = self._template_database()
        dump = self.scratch() / "template.dump"
        program("pg_dump", "--format=custom", f"--file={dump}", with_path(shared, name=TEMPLATE))
        sql(cluster_url, "CREATE DATABASE faults")
        url = with_path(cluster_url, name="faults")
        program("pg_restore", "--exit-on-error", f"--dbname={url}", str(dump))
        return url, tokens

    def apart(self, *more: str, parent: Path | None = None) -> "contextlib.AbstractContextManager[str]":
        """Return a durable cluster of one's own, with these settings."""
        if find_programs() is None:
            raise LeftOut("PostgreSQL's server programs were not found")
        return cluster(more=more, parent=parent)

    def sqlite(self, directory: Path | None = None) -> tuple[str, Tokens]:
        """Return a fresh SQLite database."""
        if self._template is None:
            path = self.scratch() / "template.sqlite3"
            # Those who make it have closed it when they end, so that all of it is in the one file.
            self._template = path, prepare(f"sqlite:///{path.as_posix()}")
        template, tokens = self._template
        copy = shutil.copy(template, (directory or self.scratch()) / "calls.sqlite3")
        return f"sqlite:///{copy.as_posix()}", tokens


Fault: TypeAlias = Callable[[Place], Verdict]
FAULTS: dict[str, Fault] = {}
SLOW: set[str] = set()


def fault(*, slow: bool = False, name: str | None = None) -> Callable[[Fault], Fault]:
    """Enter a function into the list, under its own name or this one; `slow` ones are no part of the quick tests."""

    def enter(function: Fault) -> Fault:
        known_as = name or function.__name__
        FAULTS[known_as] = function
        if slow:
            SLOW.add(known_as)
        return function

    return enter


@contextlib.contextmanager
def place(*, seconds: float, rows: int = 1_000_000, commit: str | None = None) -> Iterator[Place]:
    """Yield where faults happen, and tidy up."""
    with contextlib.ExitStack() as stack:
        yield Place(seconds, rows, commit, stack)
