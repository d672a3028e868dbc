"""The web entry for requests: `granian --interface wsgi phonegoggles.wsgi:application`."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")

django = get_wsgi_application()

from calls.ingest.shortcut import Application, Shortcut  # noqa: E402 - needs the apps to be ready

application: Application = Shortcut(django) if settings.INGEST_SHORTCUT else django
