"""The web entry for requests in production: `granian --interface rsgi phonegoggles.rsgi:application`."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")

from django.conf import settings

from phonegoggles.gateway import Gateway
from phonegoggles.wsgi import application as django  # loads the apps, which the next needs

from calls.ingest.shortcut import Shortcut  # isort: skip

gateway = Gateway(django, threads=settings.SERVE_THREADS)
application: Any = Shortcut(gateway) if settings.INGEST_SHORTCUT else gateway
