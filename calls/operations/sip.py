"""SIP configurations: written down, and which one is the default.

As long as there is an active one, exactly one is the default.
"""

from contextlib import suppress
from typing import Any

from django.db import IntegrityError, transaction

from calls.domain.rules import NotPossible
from calls.models import SIPConfiguration


class NameTaken(NotPossible):
    """Another configuration has the name."""


def set_default(configuration: SIPConfiguration) -> SIPConfiguration:
    """Make a configuration the only default; raise NotPossible for one that is not active."""
    with transaction.atomic():
        chosen = _lock_all().get(configuration.pk)
        if chosen is None:
            raise NotPossible("There is no such SIP configuration any more.")
        if not chosen.is_active:
            raise NotPossible(f"The SIP configuration {chosen.name} is not active.")
        _make_default(chosen)
    return chosen


def save_configuration(configuration: SIPConfiguration, values: dict[str, Any]) -> SIPConfiguration:
    """Store new values of a new or known configuration, and return it; raise NotPossible, or NameTaken.

    The first active one becomes the default. The default cannot cease to be active.
    """
    with transaction.atomic():
        every = _lock_all()
        found = every.get(configuration.pk, configuration)
        for name, value in values.items():
            setattr(found, name, value)
        if found.is_default and not found.is_active:
            raise NotPossible("The default SIP configuration must be active; make another the default first.")
        try:
            with transaction.atomic():
                found.save()
        except IntegrityError:  # the form looked whether the name is free, but somebody was quicker
            raise NameTaken(f"Another SIP configuration has the name {found.name}.") from None
        if found.is_active and not any(one.is_default for one in every.values()):
            # Of two who store the first one at once, the second finds that there is a default after all.
            with suppress(IntegrityError), transaction.atomic():
                _make_default(found)
                return found
            found.is_default = False
    return found


def delete_configuration(configuration: SIPConfiguration) -> None:
    """Remove a configuration; raise NotPossible for the default while another could take its place."""
    with transaction.atomic():
        every = _lock_all()
        found = every.get(configuration.pk)
        if found is None:
            return
        if found.is_default and any(one.is_active and one.pk != found.pk for one in every.values()):
            raise NotPossible("This is the default SIP configuration; make another the default first.")
        found.delete()


def ensure_default(**values: Any) -> SIPConfiguration:
    """Return the default configuration; without one, store these values (by their name) and make it the default."""
    found = SIPConfiguration.objects.filter(is_default=True).first()
    if found is None:
        known = SIPConfiguration.objects.filter(name=values["name"]).first()
        found = set_default(save_configuration(known or SIPConfiguration(), {**values, "is_active": True}))
    return found


def _lock_all() -> dict[int, SIPConfiguration]:
    """Return all configurations, locked in one order, so that two who change them at once take turns."""
    return {found.pk: found for found in SIPConfiguration.objects.select_for_update().order_by("pk")}


def _make_default(chosen: SIPConfiguration) -> None:
    SIPConfiguration.objects.filter(is_default=True).exclude(pk=chosen.pk).update(is_default=False)
    chosen.is_default = True
    chosen.save(update_fields=["is_default", "updated_at"])
