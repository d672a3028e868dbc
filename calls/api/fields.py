"""Fields and filters of the requests that callers of `/api/` send."""

from datetime import datetime
from typing import Any

import django_filters
from django import forms
from rest_framework import serializers

from calls.domain.instants import NotAnInstant, read_instant, read_instant_or_date
from calls.domain.vocabulary import read_cause

MAX_LENGTH = 255
# What a 32-bit column holds at most.
MOST_INTEGER = 2**31 - 1


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


class IdField(serializers.CharField):
    """An id from outside: not blank, and kept exactly as it is sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_LENGTH, trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        """Return the id; raise ValidationError."""
        text = super().to_internal_value(data)
        if not text.strip():
            self.fail("blank")
        return text


class CauseField(serializers.CharField):
    """Why a call ended, as a word or a code; it becomes the way in which we keep causes."""

    def to_internal_value(self, data: Any) -> str:
        """Return the cause; raise ValidationError."""
        cause = read_cause({"cause": super().to_internal_value(data)})
        if cause is None:
            raise serializers.ValidationError("Must be a status that a call ends with, or a Q.850 or SIP code.")
        return cause


def number_field(**options: Any) -> serializers.CharField:
    """Return a field for a number, extension, SIP user or `anonymous`; it is kept as sent."""
    return serializers.CharField(max_length=MAX_LENGTH, **options)


# -- Filters ---------------------------------------------------------------------------------------


class _InstantFormField(forms.Field):
    def to_python(self, value: Any) -> datetime | None:
        """Return the instant, None for an empty text; raise ValidationError."""
        try:
            return read_instant_or_date(value) if value else None
        except NotAnInstant as error:
            hint = " Write a + in an address as %2B." if " " in value else ""
            raise forms.ValidationError("%(reason)s", params={"reason": f"{error}{hint}"}) from None


class InstantFilter(django_filters.IsoDateTimeFilter):
    """An ISO 8601 date and time, or a date: its first instant in UTC."""

    field_class = _InstantFormField  # type: ignore[assignment]


class WholeNumberFilter(django_filters.NumberFilter):
    """A whole number that every column can be compared with."""

    field_class = forms.IntegerField  # type: ignore[assignment]

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=MOST_INTEGER, **options)

    def get_max_validator(self) -> None:
        """The field's own bounds say enough."""


class ExactFilter(django_filters.CharFilter):
    """A text that is looked for exactly as it is sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)
