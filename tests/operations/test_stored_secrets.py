"""Stored secrets under keys that change: nothing is lost while the old key is there, and it can be let go."""

from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import CommandError, call_command

from calls.models import SIPConfiguration, WebhookSource
from calls.models.secrets import UnreadableSecret, decrypt, encrypt
from calls.operations.sip import save_configuration
from calls.operations.stored_secrets import COLUMNS
from calls.operations.webhooks import add_source, rotate
from tests.build import NOON

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_the_newest_key_encrypts_and_every_key_reads(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    stored = encrypt("secret")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert decrypt(stored) == "secret"
    anew = encrypt("secret")
    settings.ENCRYPTION_KEYS = [NEW]
    assert decrypt(anew) == "secret"
    with pytest.raises(UnreadableSecret):
        decrypt(stored)


def test_what_was_stored_without_keys_is_read_once_there_are_some(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = []
    stored = encrypt("secret")
    settings.ENCRYPTION_KEYS = [NEW]
    assert decrypt(stored) == "secret"


def test_a_new_secret_key_loses_nothing_while_the_old_one_is_among_the_fallbacks(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = []
    stored, before = encrypt("secret"), settings.SECRET_KEY
    settings.SECRET_KEY = "another" * 10
    with pytest.raises(UnreadableSecret):
        decrypt(stored)
    settings.SECRET_KEY_FALLBACKS = [before]
    assert decrypt(stored) == "secret"


def test_the_same_secret_is_stored_differently_each_time_and_cannot_be_changed() -> None:
    stored = encrypt("secret")
    assert encrypt("secret") != stored
    for place in (10, len(stored) // 2, len(stored) - 10):
        changed = stored[:place] + ("A" if stored[place] != "A" else "B") + stored[place + 1 :]
        with pytest.raises(UnreadableSecret):
            decrypt(changed)


@pytest.mark.django_db
def test_an_old_key_can_go_once_all_is_encrypted_anew(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    save_configuration(
        SIPConfiguration(), {"name": "a", "sip_server": "b", "caller_number": "1", "password": "hunter2"}
    )
    save_configuration(SIPConfiguration(), {"name": "none", "sip_server": "b", "caller_number": "1"})
    source, first = add_source("PBX")
    second = rotate(source, at=NOON)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    said = StringIO()
    call_command("encrypt_anew", stdout=said)
    assert "3 secrets" in said.getvalue()
    settings.ENCRYPTION_KEYS = [NEW]
    assert SIPConfiguration.objects.get(name="a").password == "hunter2"
    assert WebhookSource.objects.get().valid_secrets == [second, first]


@pytest.mark.django_db
def test_what_no_key_reads_is_named_and_the_rest_is_encrypted(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    add_source("lost")
    settings.ENCRYPTION_KEYS = [NEW]
    add_source("kept")
    before = WebhookSource.objects.get(name="lost").encrypted_secret
    with pytest.raises(CommandError, match="webhook source lost"):
        call_command("encrypt_anew", stdout=StringIO())
    assert WebhookSource.objects.get(name="lost").encrypted_secret == before
    assert WebhookSource.objects.get(name="kept").valid_secrets


def test_no_column_with_a_secret_is_left_out() -> None:
    named = {
        (model, field.name)
        for model in apps.get_app_config("calls").get_models()
        for field in model._meta.fields
        if field.name.startswith("encrypted_")
    }
    assert named == set(COLUMNS)
