"""`manage.py rebuild_calls`: fold calls anew from the log of their events, all or some, while events come in."""

import argparse
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q, QuerySet
from django.utils import timezone
from tqdm import tqdm

from calls.domain.instants import NotAnInstant, read_instant_or_date
from calls.models import Call
from calls.operations.rebuild import Difference, Progress, rebuild
from calls.queries.calls import find_call, with_number

# What shells take for "stopped by Ctrl-C": 128 and the number of SIGINT.
INTERRUPTED = 130


def read_time(text: str) -> datetime:
    """Return an ISO 8601 date and time, or the first instant (UTC) of a date."""
    try:
        return read_instant_or_date(text, zone=UTC)
    except NotAnInstant as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Command(BaseCommand):
    """Make calls what their events add up to, and say which were not."""

    help = (
        "Folds calls anew from their events and writes back those that differ, also while events come in."
        " Prints every difference, field by field. With --dry-run it changes nothing, and the exit status is 1"
        " if there was a difference. Needed after OWN_NUMBERS has changed; otherwise it should find nothing to do."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only compare; exit status 1 if anything differs")
        parser.add_argument(
            "--call", action="append", default=[], metavar="ID", help="only this call, by our UUID or the external id"
        )
        parser.add_argument("--number", action="append", default=[], help="only calls made or received by this number")
        parser.add_argument("--since", type=read_time, metavar="TIME", help="only calls that changed since then")
        parser.add_argument("--after", type=UUID, metavar="UUID", help="go on after this call, where a run stopped")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebuild the calls, stretch by stretch, and say how many differed."""
        calls = _chosen(options)
        self.last: UUID | None = options["after"]
        total = (calls.filter(pk__gt=self.last) if self.last else calls).count()
        done, different = 0, 0
        stretches = rebuild(calls, at=timezone.now(), after=self.last, dry_run=options["dry_run"])
        try:
            with tqdm(total=total, unit=" calls", disable=None) as bar:
                for progress in stretches:
                    done += progress.calls
                    different += len(progress.differences)
                    self._tell(progress)
                    bar.update(progress.calls)
                    bar.set_postfix_str(f"{different} differ, after {progress.last}")
        except BaseException as stop:
            if self.last is not None:
                self.stderr.write(f"Stopped. Go on with --after {self.last}")
            if isinstance(stop, KeyboardInterrupt):
                raise SystemExit(INTERRUPTED) from None
            raise
        if options["dry_run"] and different:
            raise CommandError(f"{different} of {done} calls differ from what their events add up to.", returncode=1)
        verb = "rebuilt" if different else "differ"
        self.stdout.write(self.style.SUCCESS(f"{done} calls compared with their events, {different} {verb}."))

    def _tell(self, progress: Progress) -> None:
        with tqdm.external_write_mode():
            for difference in progress.differences:
                self.stdout.write(_described(difference))
        self.last = progress.last


def _chosen(options: dict[str, Any]) -> "QuerySet[Call]":
    """Return the calls that the options name."""
    calls = Call.objects.all()
    if options["call"]:
        wanted = [_found(text) for text in options["call"]]
        calls = calls.filter(pk__in=wanted)
    if options["number"]:
        numbers = Q()
        for number in options["number"]:
            numbers |= with_number(number)
        calls = calls.filter(numbers)
    if options["since"]:
        calls = calls.filter(updated_at__gte=options["since"])
    return calls


def _found(text: str) -> UUID:
    call = find_call(text)
    if call is None:
        raise CommandError(f"There is no call {text!r}.")
    return call.pk


def _described(difference: Difference) -> str:
    """Return a difference as lines: the call, and its fields as they are and as they must be."""
    lines = [f"{difference.external_id} ({difference.call})"]
    if not difference.fields:
        lines.append("  has no events, and is left as it is")
    lines += [f"  {name}: {_shown(old)} -> {_shown(new)}" for name, (old, new) in difference.fields.items()]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
