"""Columns with a meaning of their own, shared by the models."""

from enum import StrEnum
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class ExactField(models.CharField):  # type: ignore[type-arg]  # has no [] at run time
    """Text that is compared byte by byte: ids and telephone numbers.

    On PostgreSQL it has the C collation, so that equality, order and prefix searches need no
    language rules and a plain index serves them all. SQLite compares that way by itself.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        """Give the column its collation where the database needs to be told."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


class WordField(ExactField):
    """One word of a closed list. The list is also enforced by the database (see `known_words`)."""

    def __init__(self, words: type[StrEnum] | None = None, **options: Any) -> None:
        if words is not None:
            options.setdefault("choices", [(word.value, word.value.replace("_", " ")) for word in words])
            options.setdefault("max_length", max(len(word) for word in words))
        super().__init__(**options)

    def deconstruct(self) -> Any:
        """Leave the list of words out of migrations; the constraint is what the database knows."""
        name, path, args, options = super().deconstruct()
        options.pop("choices", None)
        return name, path, args, options


def known_words(model: str, field: str, words: type[StrEnum]) -> models.CheckConstraint:
    """Return the constraint that lets only the words of a list into a column."""
    return models.CheckConstraint(
        name=f"{model}_{field}_known",
        condition=models.Q(**{f"{field}__in": [word.value for word in words]}),
    )
