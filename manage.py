#!/usr/bin/env python
"""Django's command line, with this checkout's `.env` read first."""

import sys

from phonegoggles.env import read_dotenv


def main() -> None:
    read_dotenv()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
