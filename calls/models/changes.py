"""The log of what changes a call without being an event of it."""

from typing import ClassVar

from django.db import models


class CallChange(models.Model):
    """That somebody annotated a call, or that its client changed. Rows are only ever added.

    Beside the log of events this is what live listeners follow; it says that, not what.
    """

    id = models.BigAutoField(primary_key=True)
    # No foreign key: what is told of a call that is gone is simply left out.
    call_id = models.UUIDField()
    changed_at = models.DateTimeField()

    class Meta:
        default_permissions: ClassVar = []

    def __str__(self) -> str:
        return f"{self.call_id} at {self.changed_at}"
