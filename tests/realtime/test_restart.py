"""PostgreSQL goes away and comes back: the bridge connects again, and what happened meanwhile is told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest

from tests.build import report
from tests.cluster import cluster, find_programs, server_account
from tests.realtime_client import PATIENCE, listening
from tests.server import ROOT, knobs_for, socket_server

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.usefixtures("db"),  # only to be left out where the tests run on SQLite
    pytest.mark.skipif(find_programs() is None, reason="needs PostgreSQL's server programs"),
]


def restart(url: str) -> None:
    """Restart the cluster behind an address, as an administrator would."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    programs = find_programs()
    assert programs is not None
    command = [str(programs / "pg_ctl"), "-D", row[0], "-m", "fast", "-w", "-l", f"{row[0]}/server.log", "restart"]
    account = server_account()
    subprocess.run(command, cwd=row[0], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account)


def manage(url: str, *words: str) -> str:
    """Run a command of manage.py on another database, and return what it printed."""
    command = [sys.executable, "manage.py", *words]
    environ = knobs_for(url)
    return subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, text=True).stdout


def tell(address: str, key: str, event_id: str) -> None:
    """Report an event, again and again until the database is back."""
    body = json.dumps(report(event_id=event_id, event="ANSWER")).encode()
    headers = {"Authorization": f"Token {key}", "Content-Type": "application/json"}
    for _ in range(PATIENCE):
        try:
            with urlopen(Request(f"{address}/process-events/", body, headers)) as answer:  # noqa: S310 - our own
                assert answer.status == 200
                return
        except HTTPError as error:
            if error.code != 503:
                raise
    raise AssertionError("the database did not come back")


def test_a_restart_of_postgresql_loses_nothing_and_keeps_the_sockets(tmp_path: Path) -> None:
    with cluster(fast=True) as url:
        manage(url, "migrate", "--noinput")
        made = manage(url, "create_token", "boss", "--create", "--group", "Operators")
        reader = made.split()[-1]
        made = manage(url, "create_token", "pbx", "--create", "--group", "Telephony systems")
        pbx = made.split()[-1]
        options: dict[str, Any] = {"DATABASE_URL": url, "LIVE_RECHECK_SECONDS": "1"}
        with (
            socket_server(**options) as (one, _),
            socket_server(**options) as (two, _),
            listening(one, reader) as ear,
        ):
            for turn in range(2):
                tell(two, pbx, f"before-{turn}")
                assert ear.events(1) == [f"before-{turn}"]
                restart(url)
                tell(two, pbx, f"after-{turn}")
                assert ear.events(1) == [f"after-{turn}"]
