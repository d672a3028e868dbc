"""Who did something that should be looked up later: in the row's history in the admin, and in the log."""

import logging
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

logger = logging.getLogger(__name__)


def note(row: Model, what: str, *, user: Any) -> None:
    """Write down what a user did with a row; never with a secret in it."""
    LogEntry.objects.create(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(row),
        object_id=str(row.pk),
        object_repr=str(row)[:200],
        action_flag=CHANGE,
        change_message=what,
    )
    logger.info("%s %s, user %s: %s", row._meta.verbose_name, row.pk, user.pk, what)
