"""Fields of the bodies that callers of `/api/` send."""

from typing import Any

from rest_framework import serializers

from calls.domain.instants import NotAnInstant, read_instant

MAX_LENGTH = 255


class InstantField(serializers.DateTimeField):
    """An ISO 8601 date and time, read as strictly as everywhere else."""

    def to_internal_value(self, value: Any) -> Any:
        """Return the instant; raise ValidationError."""
        if not isinstance(value, str):
            raise serializers.ValidationError("Must be a text with an ISO 8601 date and time.")
        try:
            return read_instant(value)
        except NotAnInstant as error:
            raise serializers.ValidationError(str(error)) from None


def number_field(**options: Any) -> serializers.CharField:
    """Return a field for a number, extension, SIP user or `anonymous`; it is kept as sent."""
    return serializers.CharField(max_length=MAX_LENGTH, **options)
