"""Figures of calls added up by hours, so that a month's statistics need not read a month's calls."""

from typing import ClassVar

from django.db import models

from calls.domain.vocabulary import OUTCOMES, Direction

# What is added up, and how: over the calls (alias `call`) that began in an hour and are over.
FIGURES: dict[str, str] = {
    "calls": "COUNT(call.id)",
    "answered": "COUNT(call.answered_at)",
    "inbound": f"COUNT(CASE WHEN call.direction = '{Direction.INBOUND}' THEN 1 END)",
    "outbound": f"COUNT(CASE WHEN call.direction = '{Direction.OUTBOUND}' THEN 1 END)",
    "timed": "COUNT(call.duration)",
    "seconds": "COALESCE(SUM(call.duration), 0)",
    **{word.value: f"COUNT(CASE WHEN call.status = '{word}' THEN 1 END)" for word in sorted(OUTCOMES)},
}


class HourFigures(models.Model):
    """The figures of an hour, named by its first instant; as good as new if it is not in ChangedHour.

    Hours of UTC: what begins in the middle of one elsewhere (in India, say) is worked out from the calls of that hour.
    """

    hour = models.DateTimeField(primary_key=True)
    calls = models.PositiveIntegerField()
    answered = models.PositiveIntegerField()
    inbound = models.PositiveIntegerField()
    outbound = models.PositiveIntegerField()
    timed = models.PositiveIntegerField(help_text="Those with a duration.")
    seconds = models.PositiveBigIntegerField(help_text="The sum of their durations.")
    busy = models.PositiveIntegerField()
    cancelled = models.PositiveIntegerField()
    ended = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()
    missed = models.PositiveIntegerField()
    no_answer = models.PositiveIntegerField()
    transferred = models.PositiveIntegerField()

    class Meta:
        default_permissions: ClassVar = []

    def __str__(self) -> str:
        return f"{self.hour}: {self.calls}"


class ChangedHour(models.Model):
    """That calls of an hour have changed since it was added up, if it was. Whoever changes calls adds a row.

    Nobody waits for anybody here: the same hour may stand in it many times.
    """

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions: ClassVar = []

    def __str__(self) -> str:
        return str(self.hour)
