"""`manage.py purge_recordings --older-than 90d`: delete what has been kept long enough."""

import argparse
import re
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from calls.operations.retention import files_left, kept_too_long, purge, remove_files_left

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def read_age(text: str) -> timedelta:
    """Return an age such as 36h, 90d or 12w."""
    found = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f"must be an age such as 36h, 90d or 12w, not {text!r}")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


class Command(BaseCommand):
    """Delete files and transcripts of old recordings; their rows stay and say when and why."""

    help = (
        "Deletes files and transcripts of recordings that are older than an age. Their rows stay and say when and why."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--older-than", type=read_age, required=True, metavar="AGE", help="such as 36h, 90d or 12w")
        parser.add_argument("--dry-run", action="store_true", help="only say how many it would be")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete them, one by one, and say how many there were."""
        now = timezone.now()
        before = now - options["older_than"]
        count, left = kept_too_long(before=before).count(), files_left().count()
        if options["dry_run"]:
            self.stdout.write(f"{count} recordings would be deleted.")
            if left:
                self.stdout.write(f"{left} files of deleted recordings are still there and would be removed.")
            return
        removed = sum(tqdm(remove_files_left(), total=left, unit=" files", disable=None))
        days = options["older_than"] / timedelta(days=1)
        purging = purge(before=before, why=f"kept for more than {days:g} days", at=now)
        deleted = sum(tqdm(purging, total=count, unit=" recordings", disable=None))
        self.stdout.write(self.style.SUCCESS(f"{deleted} recordings deleted."))
        if removed:
            self.stdout.write(self.style.SUCCESS(f"{removed} files that could not be removed earlier are gone."))
        if still := files_left().count():
            raise CommandError(f"{still} files could not be removed; the log says why. Run this again.")
