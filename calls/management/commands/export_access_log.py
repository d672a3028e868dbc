"""`manage.py export_access_log`: who looked at which number's calls, as CSV or NDJSON on standard output."""

import csv
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import QuerySet

from calls.domain.instants import write_instant
from calls.management.commands.rebuild_calls import read_time
from calls.models import AccessLogEntry
from calls.queries.access_log import looks_at
from calls.web.csv import safe_cell

COLUMNS = ("id", "at", "user_id", "user", "what", "number_hmac", "call_id")


class Command(BaseCommand):
    """Write the access log out."""

    help = "Writes the access log to standard output, the oldest entry first; --number: only who looked at that number."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to write, and how."""
        parser.add_argument("--number", help="only looks at this number, such as +12025550123")
        parser.add_argument("--user", help="only looks of the user with this name")
        parser.add_argument("--since", type=read_time, help="ISO 8601; only looks from then on")
        parser.add_argument("--until", type=read_time, help="ISO 8601; only looks before then")
        parser.add_argument("--format", choices=["csv", "ndjson"], default="csv")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write row by row, so that memory stays flat."""
        rows = self._rows(options).order_by("pk").iterator(chunk_size=2_000)
        values = ((row.pk, write_instant(row.at), row.user_id, row.user_name, row.what, row.number_hmac, row.call_id)
                  for row in rows)  # fmt: skip
        if options["format"] == "ndjson":
            for value in values:
                self.stdout.write(json.dumps(dict(zip(COLUMNS, value, strict=True)), default=str, ensure_ascii=False))
            return
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([safe_cell(cell) for cell in value] for value in values)

    def _rows(self, options: dict[str, Any]) -> "QuerySet[AccessLogEntry]":
        rows = looks_at(options["number"]) if options["number"] else AccessLogEntry.objects.all()
        for name, lookup in (("user", "user_name"), ("since", "at__gte"), ("until", "at__lt")):
            if options[name]:
                rows = rows.filter(**{lookup: options[name]})
        return rows
