"""`manage.py create_token`: an access token for a program, or for a person's own scripts."""

import argparse
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from calls.operations.tokens import ClosedAccount, NewToken, UnknownGroup, UnknownUser, create_token

LONGEST_DAYS = 36_500


def _days(text: str) -> timedelta:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= LONGEST_DAYS):
        raise argparse.ArgumentTypeError(f"must be a whole number of days from 1 to {LONGEST_DAYS}, not {text!r}")
    return timedelta(days=int(text))


class Command(BaseCommand):
    """Make an access token and print its key, once."""

    help = (
        "Makes an access token for a user. Only the key is printed on stdout; it is not kept and cannot be shown again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("user", help="the name of the user that the token acts as")
        parser.add_argument("--name", default="", help="what the token is for, such as the system that uses it")
        parser.add_argument("--expires-in", type=_days, metavar="DAYS", help="after which it ends (default: never)")
        parser.add_argument("--group", help='a group to add the user to, such as "Telephony systems"')
        parser.add_argument("--replace", action="store_true", help="revoke the user's earlier tokens of the same name")
        parser.add_argument("--create", action="store_true", help="make the user, without a password, if there is none")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the token; the key goes to stdout, everything else to stderr."""
        try:
            made = create_token(
                options["user"],
                name=options["name"],
                lifetime=options["expires_in"],
                group=options["group"],
                replace=options["replace"],
                create_user=options["create"],
            )
        except UnknownUser as error:
            raise CommandError(
                f"{error} Make a person's account with `manage.py createsuperuser` or in the admin,"
                " a machine's with --create."
            ) from None
        except (ClosedAccount, UnknownGroup) as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(made.key)
        self.stderr.write(_explanation(made), lambda text: text)


def _explanation(made: NewToken) -> str:
    token, user = made.token, made.token.user
    named = f"Token {token.name!r}" if token.name else "Token"
    ends = f"ends on {token.expiry:%Y-%m-%d %H:%M} UTC" if token.expiry else "has no time limit"
    text = f"{named} of {'the new ' if made.user_created else ''}user {user}; shown once, so keep it. It {ends}."
    if made.revoked:
        text += f" It replaces {made.revoked} earlier."
    if not user.get_all_permissions():
        text += " The user may do nothing yet: add it to a group (--group)."
    return text
