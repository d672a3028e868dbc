"""`manage.py roll_up_calls`: add calls up by hours, for quick statistics. To be run every few minutes."""

from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from calls.operations.hours import roll_up


class Command(BaseCommand):
    """Add up what is over and not added up yet, or has changed since."""

    help = (
        "Adds calls up by hours. Statistics are right without it, and quick with it; it may run at any"
        " time and twice at once. The first run takes a while where there are many calls."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Add up, and say how many hours that were."""
        with tqdm(unit=" hours", disable=None) as bar:
            done = 0
            for count in roll_up():
                done += count
                bar.update(count)
        self.stdout.write(self.style.SUCCESS(f"{done} hours added up."))
