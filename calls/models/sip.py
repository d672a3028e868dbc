"""SIP configurations: how softphones and our own tests reach a SIP server."""

import unicodedata
from collections.abc import Callable
from enum import StrEnum
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from calls.domain.hosts import is_host, is_web_socket_uri, stun_uris, turn_uris
from calls.fields import ExactField, WordField, known_words
from calls.models.secrets import decrypt, encrypt

# Controls and line ends of all kinds: in a SIP message they could begin another header.
LINE_BREAKING = {"Cc", "Zl", "Zp"}


def is_one_line(text: str) -> bool:
    """Say whether a text can stand in a header of SIP (RFC 3261, section 7.3.1) without beginning another."""
    return not any(unicodedata.category(character) in LINE_BREAKING for character in text)


def check_host(text: str) -> None:
    """Refuse what is no host. Line breaks are refused for all fields together, here and below."""
    if is_one_line(text) and not is_host(text):
        raise ValidationError("Must be a host name such as sip.example.com, or an IP address.")


def check_web_socket_uri(text: str) -> None:
    """Refuse what browsers cannot connect to."""
    if is_one_line(text) and not is_web_socket_uri(text):
        raise ValidationError("Must be like wss://sip.example.com:7443.")


def check_stun_servers(text: str) -> None:
    """Refuse what are no STUN servers."""
    _check(stun_uris, text)


def check_turn_servers(text: str) -> None:
    """Refuse what are no TURN servers."""
    _check(turn_uris, text)


def _check(read: Callable[[str], list[str]], text: str) -> None:
    if is_one_line(text):
        try:
            read(text)
        except ValueError as wrong:
            raise ValidationError(str(wrong)) from None


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
    sip_server = models.CharField("SIP server", max_length=253, validators=[check_host])
    sip_port = models.PositiveIntegerField(
        "SIP port", default=5060, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    transport = WordField(Transport, default=Transport.UDP)
    username = models.CharField(max_length=128, blank=True)
    encrypted_password = models.TextField(blank=True, editable=False)
    realm = models.CharField(max_length=253, blank=True)
    display_name = models.CharField(max_length=128, blank=True)
    caller_number = ExactField(max_length=255, help_text="Who calls, in calls that are begun here.")
    wss_uri = models.CharField(
        "WSS URI",
        max_length=500,
        blank=True,
        validators=[check_web_socket_uri],
        help_text="Where browsers connect (RFC 7118).",
    )
    stun_server = models.CharField(
        "STUN server",
        max_length=253,
        blank=True,
        validators=[check_stun_servers],
        help_text="host:port; several are separated by commas.",
    )
    turn_server = models.CharField(
        "TURN server",
        max_length=253,
        blank=True,
        validators=[check_turn_servers],
        help_text="host:port or turns:host:port; several are separated by commas.",
    )
    is_active = models.BooleanField(default=True)
    is_default = models.BooleanField(default=False)
    last_tested_at = models.DateTimeField(null=True, editable=False)
    # What came of it; of the configuration as it was then.
    last_test = models.JSONField(null=True, editable=False)
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
