"""Clients: the people and companies that calls are with, and their numbers."""

from typing import ClassVar

from django.db import models

from calls.fields import ExactField


class Client(models.Model):
    """Somebody whom the organisation talks to."""

    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    company = models.CharField(max_length=200, blank=True)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["name", "id"]
        indexes: ClassVar = [models.Index(fields=["name", "id"], name="client_by_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def phone_numbers(self) -> list[str]:
        """The client's numbers, in order."""
        return [row.number for row in self.numbers.all()]


class ClientNumber(models.Model):
    """One number of a client, in E.164; it belongs to no other client."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="numbers")
    number = ExactField(max_length=16, unique=True)

    class Meta:
        ordering: ClassVar = ["number"]

    def __str__(self) -> str:
        return str(self.number)
