"""`manage.py encrypt_anew`: encrypt stored secrets with the newest of ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from calls.operations.stored_secrets import encrypt_all_anew


class Command(BaseCommand):
    """Let an old key for stored secrets go."""

    help = (
        "Encrypts SIP passwords and webhook secrets anew, with the first of ENCRYPTION_KEYS. What no key"
        " reads is named. May run beside a busy service. Fingerprints of numbers stay under the key that made them."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Encrypt them, and say how many there were and what could not be read."""
        found = list(encrypt_all_anew())
        lost = [changed.what for changed in found if not changed.readable]
        self.stdout.write(f"{len(found) - len(lost)} secrets are encrypted with the newest key.")
        if lost:
            raise CommandError(f"No key reads these; enter them again: {', '.join(lost)}.")
