"""The app's entry in Django's registry."""

from django.apps import AppConfig

from calls.checks import refuse_unsafe_start


class CallsConfig(AppConfig):
    """Phone calls, worked out from their events."""

    name = "calls"
    verbose_name = "Calls"

    def ready(self) -> None:
        """Refuse an unsafe start; servers run no system checks, so this is the place."""
        from calls.models.access import forget_rights_when_people_change

        refuse_unsafe_start()
        forget_rights_when_people_change()
