"""`manage.py reap_calls`: assume the end of calls that went silent. To be run every few minutes."""

from collections import Counter
from datetime import UTC
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from tqdm import tqdm

from calls.operations.reap import Silent, assume_end, look_for_silent, open_calls


class Command(BaseCommand):
    """Give an assumed end to calls without news for too long."""

    help = (
        "Assumes the end of calls without news for too long (settings REAP_…_AFTER), at their last event."
        " The end is marked as assumed, and void as soon as anything later is known."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only name the calls")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look through all open calls, and say how many were ended."""
        now = timezone.now()
        ended: Counter[str] = Counter()
        with tqdm(total=open_calls().count(), unit=" open calls", disable=None) as bar:
            for looked_at, silent in look_for_silent(at=now):
                for one in silent:
                    if options["dry_run"]:
                        with tqdm.external_write_mode():
                            self.stdout.write(_described(one))
                        ended[one.phase] += 1
                    elif assume_end(one, at=now):
                        ended[one.phase] += 1
                bar.update(looked_at)
        phases = ", ".join(f"{count} {phase}" for phase, count in sorted(ended.items()))
        told = f"{ended.total()} calls {'would be ended' if options['dry_run'] else 'ended'}"
        self.stdout.write(self.style.SUCCESS(f"{told}{f': {phases}' if phases else ''}."))


def _described(silent: Silent) -> str:
    heard_at = f"{silent.heard_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    return f"{silent.external_id} ({silent.call}): {silent.phase}, last heard of {heard_at}"
