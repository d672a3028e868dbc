"""The app's entry in Django's registry."""

from django.apps import AppConfig


class CallsConfig(AppConfig):
    """Phone calls, worked out from their events."""

    name = "calls"
    verbose_name = "Calls"

    def ready(self) -> None:
        """Register the checks that run before the service starts."""
        from calls import checks  # noqa: F401
