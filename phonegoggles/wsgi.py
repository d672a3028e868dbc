"""The entry for any WSGI server, without the shortcut that `phonegoggles.rsgi` has."""

import os

from django.core.wsgi import get_wsgi_application

from phonegoggles.garbage import spare_what_stays

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")

application = get_wsgi_application()
spare_what_stays()
