"""The web entry for requests: `granian --interface wsgi phonegoggles.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")

application = get_wsgi_application()
