#!/usr/bin/env python
"""Fill the database with plausible calls, through the same write path that real events take."""

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from time import monotonic

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count
from tqdm import tqdm

from calls.domain.instants import NotAnInstant, read_instant, write_instant
from calls.domain.vocabulary import Anomaly, Direction, EventType
from calls.sampledata import (
    MOST_NUMBERS,
    SAMPLE_OWN_NUMBERS,
    NoSuchSample,
    Sample,
    own_lines,
    usual_numbers,
)
from phonegoggles.env import read_dotenv

MOST_CALLS, MOST_DAYS, MOST_SEED = 10_000_000, 3_650, 2**63 - 1
FIRST_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
# Small samples go in several batches too, so that late events really come later.
LARGEST_BATCH, SMALLEST_BATCH, USUAL_BATCHES = 5_000, 100, 10
SECONDS_BETWEEN_LINES = 5
# Live calls a minute.
USUAL_LIVE, MOST_LIVE = 6, 600


class Refused(Exception):
    """The data cannot be made; the message says what to do about it."""


@dataclass(slots=True)
class Tally:
    """What was made so far."""

    results: Counter[str] = field(default_factory=Counter)
    numbers: Counter[str] = field(default_factory=Counter)
    calls: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the data that the command line asks for and return the exit code."""
    options = read_arguments(arguments)
    read_dotenv()
    tally = Tally()
    try:
        django.setup()
        run(options, tally)
    except (Refused, NoSuchSample, ImproperlyConfigured) as error:
        return _fail(str(error), tally)
    except DatabaseError as error:
        return _fail(f"the database said: {str(error).strip()}", tally)
    except KeyboardInterrupt:
        _fail("stopped.", tally)
        return 130
    return 0


def _fail(message: str, tally: Tally) -> int:
    print(f"create_test_data.py: {message}", file=sys.stderr)
    if tally.results:
        print(f"{tally.results.total():,} events were committed before, and stay.", file=sys.stderr)
    return 1


# -- The command line ------------------------------------------------------------------------


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 20 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"must be a whole number from {least:,} to {most:,}, not {text!r}")
        return int(text)

    return read


def _moment(text: str) -> datetime:
    try:
        return read_instant(text)
    except NotAnInstant as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line, or exit saying what is wrong with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--calls", type=_whole(1, MOST_CALLS), default=500, metavar="N", help="how many calls (default: 500)"
    )
    parser.add_argument(
        "--days", type=_whole(1, MOST_DAYS), default=14, metavar="N", help="over how many days (default: 14)"
    )
    parser.add_argument(
        "--seed",
        type=_whole(0, MOST_SEED),
        metavar="N",
        help="with the same --until and options it gives the same calls again (default: random, and printed)",
    )
    parser.add_argument(
        "--until", type=_moment, metavar="ISO", help="when the days end, as 2024-04-01T12:00:00Z (default: this minute)"
    )
    parser.add_argument(
        "--numbers",
        type=_whole(1, MOST_NUMBERS),
        metavar="N",
        help="how many outside numbers call or are called (default: one for six calls)",
    )
    parser.add_argument(
        "--ongoing",
        type=_whole(0, MOST_CALLS),
        metavar="N",
        help="how many of the calls are still in progress at the end (default: 5, or one in ten)",
    )
    parser.add_argument(
        "--live",
        nargs="?",
        type=_whole(1, MOST_LIVE),
        const=USUAL_LIVE,
        metavar="N",
        help=f"then keep new calls coming, N a minute (default: {USUAL_LIVE}), until Ctrl-C; implies --if-empty",
    )
    parser.add_argument("--if-empty", action="store_true", help="do nothing when there are calls already")
    options = parser.parse_args(arguments)

    options.if_empty |= options.live is not None
    now = datetime.now(UTC)
    if options.until is None:
        options.until = now.replace(second=0, microsecond=0)
    if options.until > now:
        parser.error(f"argument --until: {write_instant(options.until)} is in the future")
    if options.until - FIRST_INSTANT < timedelta(days=options.days):
        parser.error("argument --days: they would begin before 1970; ask for fewer, or for a later --until")
    if options.ongoing is None:
        options.ongoing = min(5, options.calls // 10)
    if options.ongoing > options.calls:
        parser.error(f"argument --ongoing: {options.ongoing:,} is more than the {options.calls:,} of --calls")
    if options.seed is None:
        options.seed = SystemRandom().randrange(1_000_000)
    if options.numbers is None:
        options.numbers = usual_numbers(options.calls)
    return options


# -- The work --------------------------------------------------------------------------------


def run(options: argparse.Namespace, tally: Tally) -> None:
    """Make the sample and say what was made, or why not."""
    refuse_unmigrated()
    from calls.models import Call

    sample = Sample(
        seed=options.seed,
        until=options.until,
        calls=options.calls,
        days=options.days,
        numbers=options.numbers,
        ongoing=options.ongoing,
        own_numbers=tuple(settings.OWN_NUMBERS),
    )
    if options.if_empty and Call.objects.exists():
        print("There are calls already, so nothing was made (--if-empty).", flush=True)
    else:
        make(sample, tally)
    if options.live:
        keep_going(sample, options.live)


def make(sample: Sample, tally: Tally) -> None:
    """Fill the database with the sample and say so."""
    from calls.models import Call
    from calls.operations.sip import ensure_default

    again = (
        f"python create_test_data.py --calls {sample.calls} --days {sample.days} --seed {sample.seed}"
        f" --until {write_instant(sample.until)} --numbers {sample.numbers} --ongoing {sample.ongoing}"
    )
    empty = not Call.objects.exists()
    print(f"Seed {sample.seed}. To get the same calls again:\n  {again}", flush=True)
    fill(sample, tally)
    if empty:
        # So that a call can be begun at once: `POST /api/call-logs/initiate_call/`.
        ours = own_lines(sample.own_numbers, at_most=1)[0]
        ensure_default(name="Sample", sip_server="sip.example.com", display_name="Sample", caller_number=ours)
    print(describe(sample, tally), flush=True)


def keep_going(sample: Sample, calls_a_minute: int) -> None:
    """Let new calls happen until somebody stops it, which is no failure."""
    from calls.sampledata.live import go_on

    last_line, events = monotonic(), 0
    try:
        print(f"Live: about {_counted(calls_a_minute, 'new call')} a minute. Ctrl-C stops it.", flush=True)
        for counts in go_on(sample, calls_a_minute=calls_a_minute):
            events = counts.total()
            if monotonic() - last_line > SECONDS_BETWEEN_LINES:
                begun, ended = counts[EventType.INITIATED], counts[EventType.ENDED]
                print(f"Live: {_counted(begun, 'call')} begun, {ended:,} ended", file=sys.stderr, flush=True)
                last_line = monotonic()
    except KeyboardInterrupt:
        print(f"Stopped after {_counted(events, 'live event')}; calls in progress stay so.", flush=True)


def refuse_unmigrated() -> None:
    """Refuse a database that is missing tables or columns."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise Refused("the database is not ready; run `python manage.py migrate` first.")


def fill(sample: Sample, tally: Tally) -> None:
    """Write the sample down, batch by batch, and count what became of its events."""
    from calls.operations.record import record

    size = min(LARGEST_BATCH, max(SMALLEST_BATCH, 3 * sample.calls // USUAL_BATCHES))
    last_line = monotonic()
    # disable=None: a bar where somebody looks at it, else a short line now and then.
    with tqdm(total=sample.calls, unit=" calls", unit_scale=True, disable=None) as bar:
        for batch in sample.batches(size=size):
            outcomes = record(batch)
            tally.results.update(outcome.result for outcome in outcomes)
            for event, outcome in zip(batch, outcomes, strict=True):
                if event.type is EventType.INITIATED and outcome.call_status is not None:
                    tally.numbers.update((event.calling_number, event.called_number))
            calls = min(sample.calls, tally.calls + sum(event.type is EventType.INITIATED for event in batch))
            bar.update(calls - tally.calls)
            tally.calls = calls
            if bar.disable and monotonic() - last_line > SECONDS_BETWEEN_LINES:
                print(f"{tally.calls:,} of {sample.calls:,} calls", file=sys.stderr, flush=True)
                last_line = monotonic()
        bar.update(sample.calls - tally.calls)


def describe(sample: Sample, tally: Tally) -> str:
    """Return what was made and where to look at it."""
    from calls.models import Call

    created, duplicates, conflicts = (tally.results[result] for result in ("created", "duplicate", "conflict"))
    lines = []
    if created:
        since = sample.until - timedelta(days=sample.days)
        lines.append(
            f"Made {_counted(sample.calls, 'call')} from {since:%Y-%m-%d %H:%M} to {sample.until:%Y-%m-%d %H:%M} UTC."
        )
        lines.append(f"Events: {created:,} new, {_counted(duplicates, 'duplicate')}.")
    else:
        lines.append(f"All {duplicates:,} events were there already (the same seed and --until), so nothing changed.")
    if conflicts:
        lines.append(f"{_counted(conflicts, 'event')} refused: their ids belong to other events.")

    calls = Call.objects.filter(external_id__startswith=sample.tag).order_by()
    for name in ("status", "direction"):
        found = calls.values_list(name).annotate(count=Count("pk")).order_by("-count")
        lines.append(f"By {name}: " + ", ".join(f"{word} {number:,}" for word, number in found) + ".")
    odd: Counter[Anomaly] = Counter()
    for bits, number in calls.exclude(anomalies=0).values_list("anomalies").annotate(count=Count("pk")):
        odd.update(dict.fromkeys(Anomaly(bits), number))
    if odd:
        lines.append(
            "Odd on purpose: " + ", ".join(f"{anomaly.code} {number:,}" for anomaly, number in odd.items()) + "."
        )
    if not calls.exclude(direction=Direction.UNKNOWN).exists():
        lines.append(
            f"No call has a direction: set OWN_NUMBERS={SAMPLE_OWN_NUMBERS} (in .env) to tell inbound from outbound."
        )
    return "\n".join([*lines, *where_to_look(tally)])


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def where_to_look(tally: Tally) -> list[str]:
    """Return the pages and commands that show what was made."""
    admin = get_user_model()._default_manager.filter(is_superuser=True, is_active=True).order_by("pk").first()
    lines = ["Look at it, once `python manage.py runserver` runs:"]
    if admin is None:
        lines.append("  python manage.py createsuperuser       (there is none yet)")
    lines.append("  http://127.0.0.1:8000/admin/calls/callevent/")
    for number, count in tally.numbers.most_common(1):
        lines += [
            f"  TOKEN=$(python manage.py create_token {shlex.quote(admin.get_username()) if admin else '<superuser>'})",
            f'  curl -H "Authorization: Token $TOKEN" http://127.0.0.1:8000/call-history/{number}/',
            f"  ({number} is the busiest number, with {_counted(count, 'call')})",
        ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
