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
# So many migrations are taken back and made again.
UNDONE = 5


def newest_migrations(count: int) -> list[str]:
    """Return the names of the newest migrations, the newest first."""
    names = sorted(path.stem for path in (ROOT / MIGRATIONS).glob("[0-9]*.py"))
    return names[::-1][:count]


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise LeftOut(f"git {' '.join(words[:2])} failed; the history is needed ({type(error).__name__})") from None


def code_before(place: Place, migration: str) -> tuple[Path, str]:
    """Return a copy of the code from before a migration came, or of the commit that was asked for, and its name."""
    commit = place.commit
    if commit is None:
        file = MIGRATIONS / f"{migration}.py"
        # Along the main line only, and a renamed file is a new one: what matters is when it came to those who deploy.
        line = ["log", "--first-parent", "-m", "--no-renames", "--diff-filter=A", "--format=%H"]
        added = _git(*line, "--", str(file)).decode().split()
        if not added:
            raise LeftOut(f"the commit that added {file} is not in the history here")
        commit = f"{added[-1]}^"
    directory = place.scratch()
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(directory, filter="data")
    return directory, f"{_git('rev-parse', '--short', commit).decode().strip()} (before {migration[:4]})"


@fault()
def old_code_new_schema(place: Place) -> Verdict:
    """During an upgrade old code still serves, beside the new one, on tables that are already migrated."""
    newest, *_, oldest = newest_migrations(UNDONE)
    (last, last_name), (first, first_name) = code_before(place, newest), code_before(place, oldest)
    url, tokens = place.postgresql()
    with serving(url, root=last) as old, serving(url, root=first) as older, serving(url) as new:
        with traffic(new, tokens, old, older).flowing() as senders:
            senders.last(place.seconds)
        notes = [f"a third of it each by the code of {last_name}, of {first_name}, and by that of today"]
        return judge(url, senders.ledger, address=new.address, tokens=tokens, notes=notes)


class Watch:
    """Looks every few milliseconds at the locks on our tables: the longest wait for one, the longest time one was held.

    Held: only those that keep everybody out (ACCESS EXCLUSIVE), which is what makes requests wait.
    """

    def __init__(self, url: str) -> None:
        self._url, self._stop = url, threading.Event()
        self.waited, self.waited_for, self.held, self.held_on = 0.0, "nothing", 0.0, "nothing"
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
            "SELECT granted, extract(epoch FROM clock_timestamp() - waitstart)::float, pid, locktype,"
            " coalesce(relation::regclass::text, '') FROM pg_locks"
            " WHERE NOT granted AND waitstart IS NOT NULL"
            " OR granted AND mode = 'AccessExclusiveLock' AND relation::regclass::text LIKE 'calls\\_%'"
        )
        since: dict[tuple[int, str], float] = {}
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(0.005):
                now, seen = time.monotonic(), set()
                for granted, waited, pid, kind, table in connection.execute(ask).fetchall():
                    if not granted and waited > self.waited:
                        self.waited, self.waited_for = waited, f"{kind} {table}".strip()
                    if granted:
                        seen.add((pid, table))
                        held = now - since.setdefault((pid, table), now)
                        if held > self.held:
                            self.held, self.held_on = held, table
                since = {key: began for key, began in since.items() if key in seen}


def _under_load(place: Place, *, rows: int, step: int) -> Verdict:
    """Take the newest migrations back and make them again on tables with so many events, `step` of them at a time.

    Those who serve meanwhile have the code from before them, which has to get on with the tables as they were and
    as they will be: that is how an upgrade goes, and how it is taken back.
    """
    names = newest_migrations(UNDONE + 1)
    directory, commit = code_before(place, names[-2])
    url, tokens = place.postgresql()
    fill(url, rows)
    back = list(dict.fromkeys([*names[step::step], names[-1]]))
    times = []
    with serving(url, root=directory) as server:
        with traffic(server, tokens, senders=4).flowing() as senders, Watch(url) as watch:
            for target in [*back, *back[-2::-1], names[0]]:
                begin = time.monotonic()
                manage(url, "migrate", "calls", target.partition("_")[0], "-v0")
                times.append(f"{target[:4]} {time.monotonic() - begin:.1f} s")
                senders.wait_for(20)
        notes = [f"{rows:,} events there", f"served by the code of {commit}", f"to {', '.join(times)}"]
        notes.append(f"longest wait for a lock {watch.waited * 1000:.0f} ms ({watch.waited_for})")
        notes.append(f"longest exclusive lock on a table {watch.held * 1000:.0f} ms ({watch.held_on})")
        # The audit compares all that is stored with the ledger, so what was only there as weight has to go first.
        empty(url)
    with serving(url) as server:
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def migrations_back_and_forward(place: Place) -> Verdict:
    """The newest migrations back, and forward again, on small tables, while events come in."""
    return _under_load(place, rows=3_000, step=UNDONE)


@fault(slow=True)
def migrations_under_load(place: Place) -> Verdict:
    """The same one by one on large tables (--rows)."""
    return _under_load(place, rows=place.rows, step=1)


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
                connection.execute(f"DELETE FROM {table} WHERE call_id IN (SELECT id FROM weight)")  # noqa: S608 - names of ours
        connection.execute("DELETE FROM calls_call WHERE id IN (SELECT id FROM weight)")
