"""Faults of the database, of the way to it, and of the disk under it."""

import contextlib
import sqlite3
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.faults.installation import PostgreSQL, Verdict, judge, serving, sql, traffic, with_path
from tests.faults.proxy import Proxy
from tests.faults.run import LeftOut, Place, fault, program

BREAK_SECONDS = 2.0
# Ends one connection of the service.
END_ONE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'taker' LIMIT 1
"""


@fault()
def kill_postgresql(place: Place) -> Verdict:
    """`kill -9` of all of PostgreSQL, and of one backend; it recovers from its log."""
    url, tokens = place.postgresql()
    database, killed = PostgreSQL(url), 0
    with serving(url) as server:
        with traffic(server, tokens).flowing() as senders:
            end = time.monotonic() + place.seconds
            while time.monotonic() < end or killed < 2:
                if killed % 2:
                    database.kill_one()
                else:
                    database.kill()
                    database.start()
                killed += 1
                senders.wait_for(100)
        notes = [f"killed {killed} times"]
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def postgresql_away(place: Place) -> Verdict:
    """PostgreSQL is not there for a long time, while all keep trying; it is found soon after it is back."""
    url, tokens = place.postgresql()
    database = PostgreSQL(url)
    with serving(url) as server:
        with traffic(server, tokens).flowing() as senders:
            database.kill()
            time.sleep(place.seconds)
            database.start()
            back = time.monotonic()
            senders.wait_for(1)
            found = time.monotonic() - back
            senders.wait_for(100)
        notes = [f"away for {place.seconds:.0f} s; first acknowledgement {found:.1f} s after it was back"]
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def freeze_postgresql(place: Place) -> Verdict:
    """PostgreSQL stops in the middle of whatever it does (SIGSTOP), and goes on seconds later."""
    url, tokens = place.postgresql()
    database, frozen = PostgreSQL(url), 0
    with serving(url) as server:
        with traffic(server, tokens).flowing() as senders:
            end = time.monotonic() + place.seconds
            while time.monotonic() < end or not frozen:
                database.freeze()
                try:
                    time.sleep(BREAK_SECONDS)
                finally:
                    database.thaw()
                frozen += 1
                senders.wait_for(100)
        notes = [f"frozen {frozen} times for {BREAK_SECONDS:.0f} s"]
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def swallow(place: Place) -> Verdict:
    """What passes between us and PostgreSQL is swallowed, one way or both, and then the connections are cut."""
    url, tokens = place.postgresql()
    times = 0
    with Proxy(urlsplit(url).port or 5432) as proxy, serving(with_path(url, port=proxy.port)) as server:
        with traffic(server, tokens).flowing() as senders:
            end = time.monotonic() + place.seconds
            # First only the answers: the database commits, and we never hear of it.
            while time.monotonic() < end or times < 2:
                proxy.swallow_answers, proxy.swallow_requests = True, bool(times % 2)
                time.sleep(BREAK_SECONDS / 2)
                proxy.cut()
                proxy.swallow_answers = proxy.swallow_requests = False
                proxy.cut()
                times += 1
                senders.wait_for(100)
        notes = [f"{proxy.swallowed:,} bytes swallowed in {times} times"]
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def dead_network(place: Place) -> Verdict:
    """No byte passes any more between us and PostgreSQL, and neither side is ever told; new connections are good."""
    url, tokens = place.postgresql()
    times, silence = 0, 4
    with Proxy(urlsplit(url).port or 5432) as proxy:
        through = with_path(url, port=proxy.port)
        with serving(through, DATABASE_SILENCE_SECONDS=str(silence)) as server:
            with traffic(server, tokens).flowing() as senders:
                end = time.monotonic() + place.seconds
                while time.monotonic() < end or not times:
                    proxy.deafen()
                    times += 1
                    # Each sender has something under way that waits for a dead connection.
                    senders.wait_for(200, patience=10 * silence)
            notes = [f"{times} times; given up after {silence} s of silence"]
            return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def too_many_connections(place: Place) -> Verdict:
    """PostgreSQL has fewer connections than our processes want, and for a while none is left."""
    with place.apart("max_connections=8") as cluster_url:
        url, tokens = place.copy_to(cluster_url)
        with (
            psycopg.connect(url, autocommit=True, application_name="taker") as first,
            serving(url, DATABASE_POOL="3") as server,
            traffic(server, tokens, senders=16).flowing() as senders,
        ):
            senders.last(place.seconds / 2)
            taken: list[psycopg.Connection[tuple[object, ...]]] = []
            try:
                end = time.monotonic() + BREAK_SECONDS * 2
                while time.monotonic() < end:
                    first.execute(END_ONE)
                    with contextlib.suppress(psycopg.OperationalError):  # somebody of the service was faster
                        taken.append(psycopg.connect(url, autocommit=True, application_name="taker"))
            finally:
                for connection in taken:
                    connection.close()
            senders.wait_for(50)
            senders.last(place.seconds / 2)
        notes = [f"8 connections for two processes that want 8, {len(taken) + 1} of them taken by others"]
        # Only now, when the server has given its connections back, is there one for the audit.
        return judge(url, senders.ledger, notes=notes)


@fault()
def full_disk(place: Place) -> Verdict:
    """The disk under PostgreSQL, its log included, is full; room is made, and it is started again if it stopped."""
    disk = _small_disk(place, megabytes=240)
    with place.apart("max_wal_size=64MB", "min_wal_size=32MB", parent=disk) as cluster_url:
        url, tokens = place.copy_to(cluster_url)
        database, stops = PostgreSQL(url), 0
        with serving(url) as server:
            with traffic(server, tokens).flowing() as senders:
                before = sum(senders.ledger.refused.values())
                ballast = _fill(disk)
                # The log's present piece has room for a while; a switch makes the next one wanted at once.
                with contextlib.suppress(psycopg.Error):
                    sql(url, "SELECT pg_switch_wal()")
                end = time.monotonic() + 60
                while database.runs and sum(senders.ledger.refused.values()) < before + 20 and time.monotonic() < end:
                    time.sleep(0.05)
                senders.wait_for_refusals(before + 1)
                refused = sum(senders.ledger.refused.values()) - before
                ballast.unlink()
                if not _runs(database):
                    database.start()
                    stops += 1
                senders.wait_for(100)
                senders.last(place.seconds / 2)
            notes = [f"{refused} refusals while full", f"PostgreSQL stopped {stops} times"]
            verdict = judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)
    if not refused:
        verdict.wrong.append("nothing was refused: the disk was not full enough to prove anything")
    return verdict


@fault()
def full_disk_sqlite(place: Place) -> Verdict:
    """The disk under SQLite is full for a while."""
    disk = _small_disk(place, megabytes=24)
    url, tokens = place.sqlite(disk)
    with serving(url) as server:
        with traffic(server, tokens).flowing() as senders:
            before = sum(senders.ledger.refused.values())
            ballast = _fill(disk)
            end = time.monotonic() + 60
            while sum(senders.ledger.refused.values()) < before + 20 and time.monotonic() < end:
                time.sleep(0.05)
            refused = sum(senders.ledger.refused.values()) - before
            ballast.unlink()
            senders.wait_for(100)
        notes = [f"{refused} refusals while full"]
        verdict = judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)
    if not refused:
        verdict.wrong.append("nothing was refused: the disk was not full enough to prove anything")
    return verdict


@fault()
def sqlite_locked(place: Place) -> Verdict:
    """Somebody else holds SQLite's write lock for seconds."""
    url, tokens = place.sqlite()
    path, times = url.removeprefix("sqlite:///"), 0
    with serving(url) as server:
        with traffic(server, tokens).flowing() as senders:
            end = time.monotonic() + place.seconds
            while time.monotonic() < end or not times:
                other = sqlite3.connect(path, timeout=30, isolation_level=None)
                other.execute("BEGIN IMMEDIATE")
                time.sleep(BREAK_SECONDS)
                other.execute("ROLLBACK")
                other.close()
                times += 1
                senders.wait_for(50)
        notes = [f"locked {times} times for {BREAK_SECONDS:.0f} s"]
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


@fault()
def backup_and_restore(place: Place) -> Verdict:
    """`pg_dump` while events come in, `pg_restore` elsewhere: all that was acknowledged before it began is there."""
    url, tokens = place.postgresql()
    copy, dump = with_path(url, name=f"{urlsplit(url).path[1:]}_restored"), place.scratch() / "calls.dump"
    with serving(url) as server, traffic(server, tokens).flowing() as senders:
        senders.last(place.seconds / 2)
        before = senders.ledger.copy()
        program("pg_dump", "--format=custom", f"--file={dump}", url)
        after = senders.ledger.copy()
        senders.last(place.seconds / 2)
    sql(url, f"CREATE DATABASE {urlsplit(copy).path[1:]}")
    program("pg_restore", "--exit-on-error", f"--dbname={copy}", str(dump))
    before.sent = after.sent
    restored = judge(copy, before)
    whole = judge(url, senders.ledger)
    restored.wrong += whole.wrong + whole.lost + whole.duplicated
    restored.notes = [f"{len(senders.ledger.acked):,} acknowledged in all, {len(before.acked):,} before the dump"]
    return restored


def _runs(database: PostgreSQL) -> bool:
    """Say whether PostgreSQL still runs, given a moment to find out that it cannot."""
    for _ in range(20):
        if not database.runs:
            return False
        time.sleep(0.1)
    return True


def _small_disk(place: Place, *, megabytes: int) -> Path:
    """Mount a file system of this size."""
    path = place.scratch()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise LeftOut("only root may mount a small file system") from None
    place.stack.callback(subprocess.run, ["umount", "--lazy", str(path)], check=False)
    return path


def _fill(disk: Path) -> Path:
    """Fill a disk to the last byte, and return the file that does so."""
    ballast = disk / "ballast"
    block = b"\0" * 65536
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(block):
                pass
        except OSError:
            pass
    return ballast
