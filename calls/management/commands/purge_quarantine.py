"""`manage.py purge_quarantine`: remove refused reports that were kept long enough. To be run every day."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from calls.management.commands.purge_recordings import read_age
from calls.operations.quarantine import purge_quarantine


class Command(BaseCommand):
    """Remove refused reports that were last sent long enough ago, whether or not somebody handled them."""

    help = "Removes refused reports that were last sent longer ago than an age (default: setting QUARANTINE_KEEP)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--older-than", type=read_age, metavar="AGE", help="such as 36h, 30d or 4w")

    def handle(self, *args: Any, **options: Any) -> None:
        """Remove them, and say how many there were."""
        age: timedelta | None = options["older_than"] or settings.QUARANTINE_KEEP
        if age is None:
            self.stdout.write("Refused reports are kept for ever (QUARANTINE_KEEP).")
            return
        removed = purge_quarantine(before=timezone.now() - age)
        self.stdout.write(self.style.SUCCESS(f"{removed} refused reports removed."))
