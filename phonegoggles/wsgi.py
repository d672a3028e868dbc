"""The web entry for requests: `granian --interface wsgi phonegoggles.wsgi:application`."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")

application = get_wsgi_application()

from calls.ingest.shortcut import Shortcut  # noqa: E402 - needs the apps to be ready

if settings.INGEST_SHORTCUT:
    application = Shortcut(application)
