"""`manage.py purge_access_log`: remove what has been in the access log for long enough."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from tqdm import tqdm

from calls.management.commands.purge_recordings import read_age
from calls.operations.access_log import purge


class Command(BaseCommand):
    """Apply the retention of the access log."""

    help = "Removes entries of the access log that are older than ACCESS_LOG_KEEP. May run beside a busy service."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take another age than the setting's."""
        parser.add_argument("--older-than", type=read_age, metavar="AGE", help="such as 36h, 30d or 52w")

    def handle(self, *args: Any, **options: Any) -> None:
        """Remove them, and say how many there were."""
        age: timedelta | None = options["older_than"] or settings.ACCESS_LOG_KEEP
        if age is None:
            self.stdout.write("The access log is kept for ever (ACCESS_LOG_KEEP).")
            return
        removed = 0
        with tqdm(unit=" entries", disable=None) as bar:
            for count in purge(before=timezone.now() - age):
                removed += count
                bar.update(count)
        self.stdout.write(self.style.SUCCESS(f"{removed} entries removed."))
