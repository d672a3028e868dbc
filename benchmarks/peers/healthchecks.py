"""Healthchecks from a checkout of its own: a ping comes in, its check's state is brought up to date, both are stored.

Nothing of it is part of this project. HEALTHCHECKS names the checkout, HEALTHCHECKS_PYTHON an interpreter that has its
requirements and granian (default: `.venv/bin/python` in the checkout).
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from benchmarks.lab import THREADS, WORKERS, Lab, Server
from benchmarks.processes import serving
from tests.cluster import free_port

NOT_NAMED = "not measured: name a checkout in HEALTHCHECKS"
DATABASE = "healthchecks"
# Each connection pings a check of its own, as each job has its own; they would wait for each other's lock otherwise.
# The load generator puts its connections' numbers in the place of the #.
PING = "/ping/00000000-0000-4000-8000-#"
MAKE_CHECKS = """
from django.contrib.auth.models import User
from hc.accounts.models import Project
from hc.api.models import Check
owner = User.objects.create(username="bench", email="bench@example.org")
project = Project.objects.create(owner=owner, badge_key="bench")
for number in range({count}):
    Check.objects.create(project=project, code="{code}".replace("#", f"{{number:012}}"))
"""


def checkout() -> Path | None:
    """Return the checkout that the environment names, if any; raise RuntimeError if it is none."""
    named = os.environ.get("HEALTHCHECKS")
    if not named:
        return None
    folder = Path(named).resolve()
    if not (folder / "hc" / "wsgi.py").is_file():
        raise RuntimeError(f"HEALTHCHECKS: {folder} is no checkout of Healthchecks")
    return folder


def version(folder: Path) -> str:
    """Return the newest version that its change log names."""
    lines = (folder / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    return next((line.split()[1] for line in lines if line.startswith("## v")), "unknown version")


@contextmanager
def serve(lab: Lab, folder: Path, *, connections: int) -> Iterator[Server]:
    """Run it with a database of its own in the same cluster, on granian with as many processes and threads as ours."""
    python = os.environ.get("HEALTHCHECKS_PYTHON") or str(folder / ".venv" / "bin" / "python")
    port = free_port()
    environ = _environ(lab, port)
    with psycopg.connect(lab.url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{DATABASE}"')
    make_checks = MAKE_CHECKS.format(count=connections, code=PING.rpartition("/")[2])
    for words in (["migrate", "--noinput"], ["shell", "-c", make_checks]):
        done = subprocess.run([python, "manage.py", *words], cwd=folder, env=environ, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"Healthchecks: manage.py {words[0]}: {done.stderr[-2000:]}")
    words = f"-m granian --interface wsgi --workers {WORKERS} --blocking-threads {THREADS} --port PORT"
    words += " --backpressure 256 --no-access-log --log-level error hc.wsgi:application"
    with serving([python, *words.split()], folder=folder, environ=environ, port=port) as (_, process):
        yield Server(lab, port, process.pid)


def _environ(lab: Lab, port: int) -> dict[str, str]:
    """Return its settings for production, with persistent connections, which it is faster with."""
    database = urlsplit(lab.url)
    # Nothing of our own settings: some of them have the same names.
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "SYSTEMROOT")}
    return {
        **kept,
        "DB": "postgres",
        "DB_HOST": database.hostname or "",
        "DB_PORT": str(database.port or 5432),
        "DB_USER": database.username or "postgres",
        "DB_PASSWORD": database.password or "",
        "DB_NAME": DATABASE,
        "DB_CONN_MAX_AGE": "None",
        "DEBUG": "False",
        "SECRET_KEY": "benchmarks-only",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SITE_ROOT": f"http://127.0.0.1:{port}",
        "PYTHONWARNINGS": "ignore",
    }
