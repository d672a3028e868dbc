"""Old code beside new code, and migrations while events come in."""

import io
import subprocess
import tarfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.faults.installation import ROOT, Verdict, judge, manage, serving, traffic
from tests.faults.run import LeftOut, Place, fault

MIGRATIONS = Path("calls/migrations")


def newest_migrations(count: int) -> list[str]:
    """Return the names of the newest migrations, the newest first."""
    names = sorted(path.stem for path in (ROOT / MIGRATIONS).glob("[0-9]*.py"))
    return names[::-1][:count]


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise LeftOut(f"git {' '.join(words[:2])} failed; the history is needed ({type(error).__name__})") from None


def code_before(place: Place) -> tuple[Path, str]:
    """Return a copy of the code as it was before the newest migration, and its commit."""
    commit = place.commit
    if commit is None:
        newest = MIGRATIONS / f"{newest_migrations(1)[0]}.py"
        # Along the main line only, and a renamed file is a new one: what matters is when it came to those who deploy.
        line = ["log", "--first-parent", "-m", "--no-renames", "--diff-filter=A", "--format=%H"]
        added = _git(*line, "--", str(newest)).decode().split()
        if not added:
            raise LeftOut(f"the commit that added {newest} is not in the history here")
        commit = f"{added[-1]}^"
    directory = place.scratch()
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(directory, filter="data")
    return directory, _git("rev-parse", "--short", commit).decode().strip()


@fault()
def old_code_new_schema(place: Place) -> Verdict:
    """During an upgrade the old code still serves, beside the new one, on tables that are already migrated."""
    directory, commit = code_before(place)
    url, tokens = place.postgresql()
    with serving(url, root=directory) as old, serving(url) as new:
        with traffic(new, tokens, old).flowing() as senders:
            senders.last(place.seconds)
        notes = [f"half of it by the code of {commit}, before {newest_migrations(1)[0]}"]
        return judge(url, senders.ledger, address=new.address, tokens=tokens, notes=notes)


class Watch:
    """Looks every few milliseconds at who waits for a lock, and keeps the longest wait."""

    def __init__(self, url: str) -> None:
        self._url, self._stop = url, threading.Event()
        self.longest, self.of = 0.0, "nothing"
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Watch":
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        ask = (
            "SELECT extract(epoch FROM clock_timestamp() - l.waitstart)::float, l.locktype,"
            " coalesce(l.relation::regclass::text, ''), left(a.query, 60)"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE NOT l.granted AND l.waitstart IS NOT NULL ORDER BY 1 DESC LIMIT 1"
        )
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(0.02):
                row = connection.execute(ask).fetchone()
                if row and row[0] > self.longest:
                    self.longest, self.of = row[0], f"{row[1]} {row[2]}".strip()


@fault(slow=True)
def migrations_under_load(place: Place) -> Verdict:
    """The newest migrations back and forward again on large tables, while events come in; the longest lock."""
    url, tokens = place.postgresql()
    fill(url, place.rows)
    steps = newest_migrations(3)
    times = []
    with serving(url) as server:
        with traffic(server, tokens, senders=4).flowing() as senders, Watch(url) as watch:
            for target in [*steps[1:], *steps[-2::-1]]:
                begin = time.monotonic()
                manage(url, "migrate", "calls", target.partition("_")[0], "-v0")
                times.append(f"{target[:4]} {time.monotonic() - begin:.1f} s")
                senders.wait_for(20)
        notes = [f"{place.rows:,} events there", f"to {', '.join(times)}"]
        notes.append(f"longest wait for a lock {watch.longest * 1000:.0f} ms ({watch.of})")
        # The audit compares all that is stored with the ledger, so what was only there as weight has to go first.
        empty(url)
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


def fill(url: str, rows: int) -> None:
    """Put so many events, of calls of three events each, into the tables."""
    code = (
        "from datetime import *; from calls.domain.events import Event; from calls.domain.vocabulary import *;"
        "from calls.operations.record import record; from tqdm import tqdm\n"
        "t = datetime(2023, 1, 1, tzinfo=UTC)\n"
        f"for first in tqdm(range(0, {rows} // 3, 3000), disable=None):\n"
        "    record([Event(event_id=f'weight-{n}-{k}', call_id=f'weight-{n}', type=EventType(k),"
        " occurred_at=t + timedelta(seconds=n * 20 + s), received_at=t, source=Source.PROCESS_EVENTS,"
        f" calling_number=f'+1303{{n % 9000000:07}}', called_number='+442071838750')"
        f" for n in range(first, min(first + 3000, {rows} // 3))"
        " for k, s in (('initiated', 0), ('answered', 5), ('ended', 17))])\n"
    )
    manage(url, "shell", "--no-imports", "-c", code)


def empty(url: str) -> None:
    """Take away what `fill` has put there."""
    assert urlsplit(url).path.startswith("/faults_")
    with psycopg.connect(url) as connection:
        chosen = "SELECT id FROM calls_call WHERE external_id LIKE 'weight-%'"
        connection.execute(f"CREATE TEMPORARY TABLE weight AS {chosen}")
        for table in ("calls_callevent", "calls_callchange"):
            if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,):
                connection.execute(f"DELETE FROM {table} WHERE call_id IN (SELECT id FROM weight)")  # noqa: S608
        connection.execute("DELETE FROM calls_call WHERE id IN (SELECT id FROM weight)")
