"""SIP configurations: which one is the default."""

from django.db import transaction

from calls.domain.rules import NotPossible
from calls.models import SIPConfiguration


def set_default(configuration: SIPConfiguration) -> SIPConfiguration:
    """Make a configuration the only default; raise NotPossible for one that is not active."""
    with transaction.atomic():
        # All are locked, in one order, so that two who choose at once take turns.
        every = {found.pk: found for found in SIPConfiguration.objects.select_for_update().order_by("pk")}
        chosen = every[configuration.pk]
        if not chosen.is_active:
            raise NotPossible(f"The SIP configuration {chosen.name} is not active.")
        SIPConfiguration.objects.filter(is_default=True).exclude(pk=chosen.pk).update(is_default=False)
        chosen.is_default = True
        chosen.save(update_fields=["is_default", "updated_at"])
    return chosen
