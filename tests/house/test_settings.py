"""Settings: a start that would be unsafe is refused, and the setting is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "0123456789abcdef" * 4
SAFE = {"SECRET_KEY": SECRET, "ALLOWED_HOSTS": "calls.example.org"}


def start(command: str = "check", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a fresh process that knows only this environment, and no .env."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
    code = (
        "import django, sys; from django.core.management import call_command; django.setup();"
        f"call_command(*{command.split()!r})"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=kept | {"DJANGO_SETTINGS_MODULE": "phonegoggles.settings"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY is shorter"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is not set"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must not be"),
        ({"DEBUG": "perhaps"}, "DEBUG is 'perhaps'"),
        ({"DATABASE_URL": "mysql://localhost/x"}, "DATABASE_URL must be"),
        ({"DATABASE_URL": "postgresql://localhost/x", "DATABASE_POOL": "many"}, "DATABASE_POOL is 'many'"),
        ({"DATABASE_URL": "garbage"}, "DATABASE_URL must be"),
        ({"DATABASE_URL": "sqlite:////tmp/x?init_command=PRAGMA%20synchronous%3DOFF"}, "synchronous=FULL"),
        ({"OWN_NUMBERS": "+4930123,030123"}, "OWN_NUMBERS has '030123'"),
        ({"ENCRYPTION_KEYS": "foo"}, "ENCRYPTION_KEYS: key 1"),
        ({"THROTTLE_READS": "foo"}, "THROTTLE_READS is 'foo'"),
        ({"THROTTLE_FAILED_AUTH": "10/fortnight"}, "THROTTLE_FAILED_AUTH is"),
        ({"THROTTLE_SIP_TESTS": "often"}, "THROTTLE_SIP_TESTS is 'often'"),
        ({"SIP_EGRESS_ALLOW": "10.0.0.0/8,localhost"}, "SIP_EGRESS_ALLOW has 'localhost'"),
        ({"SIP_TEST_SECONDS": "0"}, "SIP_TEST_SECONDS must be"),
        ({"SIP_CA_FILE": "/nowhere/ca.pem"}, "SIP_CA_FILE names no file"),
        ({"TURN_TTL_SECONDS": "5"}, "TURN_TTL_SECONDS must be"),
        ({"REAP_TALKING_AFTER": "0h"}, "REAP_TALKING_AFTER is '0h'"),
        ({"METRICS_ALLOW": "10.0.0.0/8,everybody"}, "METRICS_ALLOW has"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,my-proxy"}, "TRUSTED_PROXIES has"),
        ({"READY_FREE_BYTES": "much"}, "READY_FREE_BYTES is 'much'"),
        ({"LOG_LEVEL": "foo"}, "LOG_LEVEL is 'FOO'"),
    ],
)
def test_an_unsafe_or_impossible_start_names_the_setting(change: dict[str, str], named: str) -> None:
    done = start(**(SAFE | change))
    assert done.returncode != 0
    assert named in done.stderr
    assert SECRET not in done.stderr


def test_the_web_entry_refuses_an_unsafe_start_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import phonegoggles.wsgi"],
        cwd=ROOT,
        env={**os.environ, **SAFE, "DJANGO_SETTINGS_MODULE": "phonegoggles.settings", "OWN_NUMBERS": "0301234"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "OWN_NUMBERS" in done.stderr


def test_production_settings_pass_the_deployment_check() -> None:
    done = start("check --deploy --fail-level=WARNING", **SAFE)
    assert done.returncode == 0, done.stderr


def test_debug_is_off_unless_it_is_switched_on() -> None:
    code = "from django.conf import settings; print(settings.DEBUG, settings.SECURE_SSL_REDIRECT)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **SAFE, "DJANGO_SETTINGS_MODULE": "phonegoggles.settings", "DEBUG": "", "HTTPS": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]
