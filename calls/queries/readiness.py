"""Whether the service can keep its promise now: each check by name, passed or not, and nothing else.

A 200 promises that an event is durably committed, so a database that is there but was told not to wait for its
disk (https://www.postgresql.org/docs/current/runtime-config-wal.html, https://sqlite.org/pragma.html#pragma_synchronous)
is as little ready as one that is away.
"""

import logging
import os
import shutil
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from calls.queries.watch import Watch

logger = logging.getLogger(__name__)

SQLITE_FULL = 2
# What is looked at in each kind of database, beside "database" and "migrations".
DURABILITY = {
    "postgresql": ("fsync", "full_page_writes", "synchronous_commit"),
    "sqlite": ("journal_mode", "synchronous"),
}


def readiness() -> dict[str, bool]:
    """Return which checks passed, by name; within watch.LOOK_SECONDS, whatever the database does."""
    found = watch.ask()
    if found is None:
        found = {"database": False}
    return {**found, "disk": _has_room()}


def _look(connection: BaseDatabaseWrapper) -> dict[str, bool]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [[*DURABILITY["postgresql"]]])
            said = dict(cursor.fetchall())
        # `local` is durable on this server; whether a second one has it too is another promise.
        durable = {name: said.get(name, "off") != "off" for name in DURABILITY["postgresql"]}
    else:
        with connection.cursor() as cursor:
            said = {}
            for name in DURABILITY["sqlite"]:
                cursor.execute(f"PRAGMA {name}")
                [said[name]] = cursor.fetchone()
        durable = {
            "journal_mode": str(said["journal_mode"]).lower() == "wal",
            "synchronous": int(said["synchronous"]) >= SQLITE_FULL,
        }
    applied = set(MigrationRecorder(connection).applied_migrations())
    return {"database": True, "migrations": _migrations() <= applied, **durable}


watch = Watch(_look)


@cache
def _migrations() -> frozenset[tuple[str, str]]:
    """Return every migration that this version of the code comes with."""
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


def _has_room() -> bool:
    """Say whether the disks of this machine that we write to have READY_FREE_BYTES left."""
    try:
        return all(shutil.disk_usage(path).free >= settings.READY_FREE_BYTES for path in _places())
    except OSError as error:
        logger.warning("The room on the disk cannot be told: %s", type(error).__name__)
        return False


def _places() -> list[Path]:
    """Return the folders that we write to; for one that is still to be made, the one it will be made in."""
    places = []
    database = settings.DATABASES["default"]
    if "sqlite3" in database["ENGINE"]:
        places.append(Path(database["NAME"]).absolute().parent)
    if not settings.RECORDINGS_S3["bucket_name"]:
        media = Path(settings.MEDIA_ROOT).absolute()
        places.append(next(place for place in (media, *media.parents) if os.path.isdir(place)))
    return places
