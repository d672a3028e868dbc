"""Stored secrets under a new key: what ends the use of an old one."""

from collections.abc import Iterator
from typing import NamedTuple

from django.db.models import Model

from calls.models import SIPConfiguration, WebhookSource
from calls.models.secrets import UnreadableSecret, encrypt_anew
from calls.operations.turns import write_turn

# Every column that holds a secret.
COLUMNS: tuple[tuple[type[Model], str], ...] = (
    (SIPConfiguration, "encrypted_password"),
    (WebhookSource, "encrypted_secret"),
    (WebhookSource, "encrypted_previous_secret"),
)


class Changed(NamedTuple):
    """What became of one stored secret."""

    what: str
    readable: bool


def encrypt_all_anew() -> Iterator[Changed]:
    """Encrypt every stored secret with the newest key; one that no key reads is left as it is."""
    for model, column in COLUMNS:
        rows = model._default_manager.exclude(**{column: ""}).order_by("pk")
        for row in rows:
            stored = getattr(row, column)
            what = f"{model._meta.verbose_name} {row}"
            try:
                anew = encrypt_anew(stored)
            except UnreadableSecret:
                yield Changed(what, readable=False)
                continue
            with write_turn():  # only if nobody has entered another one meanwhile, which is under the newest key anyway
                model._default_manager.filter(**{"pk": row.pk, column: stored}).update(**{column: anew})
            yield Changed(what, readable=True)
