"""`manage.py export_events`: every event of the chosen calls, in a form that `import_events` takes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from calls.ingest.stored_events import FIELDS, write_event
from calls.management.commands._exports import add_choice, read_choice, write
from calls.queries.exports import walk_events


class Command(BaseCommand):
    """Write events as NDJSON or CSV, in one flat stream."""

    help = (
        "Writes the events of calls, all or some, call by call. As NDJSON with everything that is known of each:"
        " import_events --vocabulary stored makes the same calls of it elsewhere. CSV is for spreadsheets."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add_choice(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the events, and say how many there were."""
        stretches = walk_events(read_choice(options))
        rows = (write_event(event, user=user) for stretch in stretches for event, user in stretch)
        count = write(rows, FIELDS, options, unit="events", stdout=self.stdout)
        self.stderr.write(f"{count:,} events.")
