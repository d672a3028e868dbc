"""`manage.py erase_number +12025550123`: put a pseudonym wherever a number stands, and delete its calls' recordings."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from calls.operations.erase import Erasure, NotErasable, begin, read_erasable, run, uses_in_settings

# What shells take for "stopped by Ctrl-C": 128 and the number of SIGINT.
INTERRUPTED = 130


class Command(BaseCommand):
    """Erase one number."""

    help = (
        "Replaces a number by a pseudonym in calls, events, their raw data, refused reports, transcripts, clients, "
        "stored answers and the admin's log, and deletes the recordings of its calls. Counts and durations stay. "
        "Cannot be undone. May run beside a busy service; run it again after an interruption."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the number, and whether to ask."""
        parser.add_argument("number", help="in E.164 form, such as +12025550123; - reads it from standard input")
        parser.add_argument("--dry-run", action="store_true", help="only say what holds the number")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase the number, with a progress bar, and say what was done."""
        text = input() if options["number"] == "-" else options["number"]
        try:
            number = read_erasable(text)
        except NotErasable as error:
            raise CommandError(str(error)) from None
        dry_run = options["dry_run"]
        if not (dry_run or options["yes"]) and input(f"Erase {number} for good? Type the number again: ") != number:
            raise CommandError("Nothing was erased.")
        erasure = begin(number, user=None, at=timezone.now(), dry_run=dry_run)
        try:
            self._run(erasure)
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. What was done is done: run the same command again to go on.")
            raise SystemExit(INTERRUPTED) from None
        self._tell(erasure)

    def _run(self, erasure: Erasure) -> None:
        with tqdm(unit=" steps", disable=None) as bar:
            for place in run(erasure):
                bar.set_description(place, refresh=False)
                bar.update()

    def _tell(self, erasure: Erasure) -> None:
        for name, count in sorted(erasure.counts.items()):
            if count:
                self.stdout.write(f"{name}: {count}")
        for place in uses_in_settings(erasure.number):
            self.stdout.write(self.style.WARNING(f"Still in {place}: change it there."))
        if erasure.counts["ids left"]:
            self.stdout.write(
                self.style.WARNING("Senders have made ids of the number. They stay: retries are known by them.")
            )
        if erasure.receipt is None:
            self.stdout.write("Nothing was changed.")
        else:
            self.stdout.write(self.style.SUCCESS(f"Erased: receipt {erasure.receipt.pk}, pseudonym {erasure.name}"))
