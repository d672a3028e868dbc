"""SIP configurations: how softphones and our own tests reach a SIP server."""

import unicodedata
from enum import StrEnum
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from calls.fields import ExactField, WordField, known_words
from calls.models.secrets import decrypt, encrypt

# Controls and line ends of all kinds: in a SIP message they could begin another header.
LINE_BREAKING = {"Cc", "Zl", "Zp"}


def is_one_line(text: str) -> bool:
    """Say whether a text can stand in a header of SIP (RFC 3261, section 7.3.1) without beginning another."""
    return not any(unicodedata.category(character) in LINE_BREAKING for character in text)


class Transport(StrEnum):
    """What carries SIP (RFC 3261, RFC 7118)."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    WS = "ws"
    WSS = "wss"


class SIPConfiguration(models.Model):
    """One account on a SIP server. Its password is stored encrypted and never shown."""

    name = models.CharField(max_length=100, unique=True)
    sip_server = models.CharField("SIP server", max_length=253)
    sip_port = models.PositiveIntegerField(
        "SIP port", default=5060, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    transport = WordField(Transport, default=Transport.UDP)
    username = models.CharField(max_length=128, blank=True)
    encrypted_password = models.TextField(blank=True, editable=False)
    realm = models.CharField(max_length=253, blank=True)
    display_name = models.CharField(max_length=128, blank=True)
    caller_number = ExactField(max_length=255, help_text="Who calls, in calls that are begun here.")
    wss_uri = models.CharField("WSS URI", max_length=500, blank=True, help_text="Where browsers connect (RFC 7118).")
    stun_server = models.CharField("STUN server", max_length=253, blank=True)
    turn_server = models.CharField("TURN server", max_length=253, blank=True)
    is_active = models.BooleanField(default=True)
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "SIP configuration"
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            known_words("sip", "transport", Transport),
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="sip_one_default"),
            models.CheckConstraint(condition=Q(is_default=False) | Q(is_active=True), name="sip_default_is_active"),
        ]
        permissions: ClassVar = [("reveal_sip_password", "Can be given the SIP password")]

    def __str__(self) -> str:
        return self.name

    @property
    def password(self) -> str:
        """The password in clear; raises UnreadableSecret when its key is gone."""
        return decrypt(self.encrypted_password) if self.encrypted_password else ""

    @password.setter
    def password(self, password: str) -> None:
        """Keep a password, encrypted; an empty one is none."""
        self.encrypted_password = encrypt(password) if password else ""
