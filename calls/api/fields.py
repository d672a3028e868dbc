"""Fields and filters of the requests that callers of `/api/` send."""

from datetime import datetime
from typing import Any, TypeVar

import django_filters
from django import forms
from django.db.models import Model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from calls.domain.instants import NotAnInstant, read_instant, read_instant_or_date
from calls.domain.vocabulary import read_cause

MAX_LENGTH = 255
FLAGS = {"true": True, "1": True, "false": False, "0": False}
M = TypeVar("M", bound=Model)
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


class Text(serializers.CharField):
    """A text; a number is none, whatever it would look like as one."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text; raise ValidationError."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class TextsSerializer(serializers.ModelSerializer[M]):
    """Reads the texts of a model strictly."""

    serializer_field_mapping = {
        column: Text if field is serializers.CharField else field
        for column, field in serializers.ModelSerializer.serializer_field_mapping.items()
    }


@extend_schema_field({"oneOf": [{"type": "string", "minLength": 1, "maxLength": MAX_LENGTH}, {"type": "integer"}]})
class IdField(serializers.CharField):
    """An id from outside: not blank, and kept exactly as it is sent; a whole number is taken as its digits."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_LENGTH, trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        """Return the id; raise ValidationError."""
        if isinstance(data, float):
            self.fail("invalid")
        text = super().to_internal_value(data)
        if not text.strip():
            self.fail("blank")
        return text


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "integer"}]})
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
    return Text(max_length=MAX_LENGTH, **options)


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


class _FlagFormField(forms.Field):
    def to_python(self, value: Any) -> bool | None:
        """Return what a flag says, None for an empty text; raise ValidationError."""
        if not value:
            return None
        if str(value).lower() not in FLAGS:
            raise forms.ValidationError("Must be true or false.")
        return FLAGS[str(value).lower()]


class FlagFilter(django_filters.BooleanFilter):
    """True or false; the framework's own takes whatever else is sent for nothing at all."""

    field_class = _FlagFormField  # type: ignore[assignment]


class ExactFilter(django_filters.CharFilter):
    """A text that is looked for exactly as it is sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)
