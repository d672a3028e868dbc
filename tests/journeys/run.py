"""Many calls through Kamailio into the running service, and a table of what became of them: `python3 dev.py journey`.

Two rounds: an undisturbed one, and one in whose middle the service is killed and started again some seconds later.
Everything is real and on the loopback: a PostgreSQL cluster of its own (in DATABASE_URL, made by `tests.cluster`),
the production server, Kamailio with the configuration of `deploy/kamailio/`, SIPp.
"""

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from calls.models import CallEvent
from calls.operations.webhooks import add_source
from tests.journeys.journey import Row, Service, compare, expected_events, play, wait_for_delivery
from tests.journeys.kinds import KINDS
from tests.journeys.telephony import Exchange, Load, Tuning, exchange, find_programs, wait_for
from tests.journeys.test_first_specification import key_of
from tests.server import free_port, production_server

# The service goes down when this part of all events is there, and stays down for at least so many seconds.
DOWN_AFTER, DOWN_SECONDS = 0.25, 3.0
ENVIRONMENT = {"SECRET_KEY": settings.SECRET_KEY, "PYTHONWARNINGS": "ignore"}
TUNING = Tuning(answer=4000, workers=4)
# But for the failures that Kamailio holds back on purpose, because the caller may call again with a password.
COMMITTED = """
    SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - occurred_at)
    FROM calls_callevent WHERE occurred_at >= %s AND metadata ->> 'sip_code' IS DISTINCT FROM '407' ORDER BY 1
"""


class Restartable:
    """The service on a port of its own, which can be killed and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.stack = contextlib.ExitStack()
        self.down_at: float | None = None
        self.down_seconds = 0.0

    def __enter__(self) -> "Restartable":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.stack.enter_context(production_server(port=self.port, kill=True, **ENVIRONMENT))
        if self.down_at is not None:
            self.down_seconds = time.monotonic() - self.down_at

    def kill(self) -> None:
        """End it as a crash would."""
        self.down_at = time.monotonic()
        self.stack.close()


class Disturbance:
    """Kills the service in the middle of the calls, and starts it again when enough reports wait."""

    def __init__(self, service: Restartable, kamailio: Exchange, known_before: int, after: int) -> None:
        self.service, self.kamailio = service, kamailio
        self.after = known_before + after
        self.most_waiting = 0
        self.done = False

    def __call__(self) -> None:
        """Look whether it is time for the next step."""
        self.most_waiting = max(self.most_waiting, self.kamailio.waiting())
        if self.service.down_at is None:
            if CallEvent.objects.count() >= self.after:
                print("  … the service is killed", flush=True)
                self.service.kill()
        elif not self.done and time.monotonic() > self.service.down_at + DOWN_SECONDS:
            self.service.start()
            self.done = True
            print(f"  … and is back after {self.service.down_seconds:.1f} s", flush=True)


def shares(calls: int, rate: float, pause: int) -> list[Load]:
    """Split calls among the kinds; each kind's rate is its share, so that all end at the same time."""
    counts = [max(1, calls * kind.share // 100) for kind in KINDS]
    counts[0] += calls - sum(counts)
    return [Load(kind, count, rate * count / calls, pause) for kind, count in zip(KINDS, counts, strict=True)]


def round_of_calls(
    title: str, loads: list[Load], service: Restartable, kamailio: Exchange, key: str, *, disturbed: bool
) -> bool:
    """Play a round, print what became of it, and say whether everything was as SIPp says."""
    total = sum(load.calls for load in loads)
    print(f"\n{title}: {total} calls at {sum(load.rate for load in loads):.0f} a second", flush=True)
    begin, before = datetime.now(UTC), CallEvent.objects.count()
    planned = sum(len(load.kind.events) * load.calls for load in loads)
    disturbance = Disturbance(service, kamailio, before, int(planned * DOWN_AFTER)) if disturbed else None
    rows = play(loads, kamailio, disturbance or (lambda: None))
    if disturbance:
        wait_for("the service is back", lambda: disturbance() or disturbance.done)
    over = time.monotonic()
    wait_for_delivery(rows, kamailio, lambda: CallEvent.objects.count() - before)
    delivered = time.monotonic() - over
    wrong = compare(rows, Service(service.address, key), begin - timedelta(seconds=1))
    wrong += [line for row in rows for line in row.wrong]
    wrong += [f"refused: {report[:300]}" for report in kamailio.refused()]
    print(table(rows))
    delays = read_delays(begin)
    print(
        f"\nFrom the SIP message to the committed event: p50 {rank(delays, 50):.0f} ms, p99 {rank(delays, 99):.0f} ms, "
        f"longest {delays[-1]:.0f} ms."
    )
    if disturbance:
        print(
            f"The service was away for {service.down_seconds:.1f} s; at most {disturbance.most_waiting} reports "
            f"waited; {delivered:.1f} s after the last call all were delivered."
        )
    stored = CallEvent.objects.count() - before
    if stored != expected_events(rows):
        wrong.append(f"{stored} events were stored, and {expected_events(rows)} have happened")
    print("Statistics, histories and call logs agree with SIPp." if not wrong else "")
    print(*[f"WRONG: {line}" for line in wrong[:40]], sep="\n", end="\n" if wrong else "")
    return not wrong


def table(rows: Sequence[Row]) -> str:
    """Return a table (Markdown) of the calls by kind."""
    head = ["kind of call", "SIPp made", "as planned", "in history", "in call logs", "events", "lost", "duplicated"]
    body = []
    for row in rows:
        played, found = [row.truth.made, row.truth.succeeded], [row.in_history, row.in_logs]
        body.append([row.load.kind.name, *map(str, [*played, *found, row.events, row.lost, row.duplicated])])
    body.append(["all", *(str(sum(int(line[column]) for line in body)) for column in range(1, len(head)))])
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]

    def row_of(line: list[str]) -> str:
        numbers = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        return f"| {' | '.join([line[0].ljust(widths[0]), *numbers])} |"

    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    return "\n".join([row_of(head), rule, *map(row_of, body)])


def read_delays(begin: datetime) -> list[float]:
    """Return how long each event took from its SIP message to its commit, in milliseconds, shortest first."""
    with connection.cursor() as cursor:
        cursor.execute(COMMITTED, [begin])
        return [float(seconds) * 1000 for (seconds,) in cursor.fetchall()]


def rank(values: Sequence[float], percent: int) -> float:
    """Return a percentile by nearest rank."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def machine() -> str:
    """Return what this was run on."""

    def first_line(*command: str) -> str:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        return next(iter((said.stdout + said.stderr).strip().splitlines()), "?").strip()

    kamailio, sipp = find_programs() or ("", "")
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgresql = cursor.fetchone()[0]
    versions = [
        f"Python {platform.python_version()}",
        f"PostgreSQL {postgresql.split()[0]}",
        first_line(kamailio, "-v").removeprefix("version: ").split(" (")[0],
        first_line(sipp, "-v").split("-")[0].rstrip("."),
    ]
    kind = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, {kind}, load {os.getloadavg()[0]:.1f}, {', '.join(versions)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Play both rounds; the exit code is 0 if everything was as SIPp says."""
    parser = argparse.ArgumentParser(prog="dev.py journey", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=200, help="calls a round (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=50, help="calls a second (default: %(default)s)")
    parser.add_argument("--pause", type=int, default=1500, help="how long a call lasts, in ms (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.calls < len(KINDS) or options.rate <= 0 or options.pause < 0:
        parser.error(f"at least {len(KINDS)} calls, one of each kind, at a rate above zero")
    if find_programs() is None:
        print("Kamailio with its modules, or SIPp, was not found. Debian, Ubuntu: apt-get install", end=" ")
        print("kamailio kamailio-extra-modules kamailio-python3-modules sip-tester")
        return 1
    print("Database", flush=True)
    call_command("migrate", verbosity=0)
    key, (_, secret) = key_of("Analysts"), add_source("kamailio")
    print(machine())
    loads = shares(options.calls, options.rate, options.pause)
    with (
        Restartable() as service,
        exchange(f"{service.address}/api/webhooks/sip/", secret, KINDS, TUNING) as kamailio,
    ):
        good = round_of_calls("Undisturbed", loads, service, kamailio, key, disturbed=False)
        good &= round_of_calls("The service is killed meanwhile", loads, service, kamailio, key, disturbed=True)
        if not good:
            print(kamailio.said()[-5000:], file=sys.stderr)
    return 0 if good else 1
