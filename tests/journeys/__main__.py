"""`python -m tests.journeys`, with a PostgreSQL in DATABASE_URL: see run.py."""

import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from tests.journeys.run import main  # noqa: E402 - models cannot be imported before the settings

sys.exit(main())
