"""The web entry for sockets, and for requests beside them: `manage.py serve_asgi`.

Requests take the same way here as in production, through WSGI in threads: Django's own way from
ASGI to views that wait for a database is slower, and gathers streamed answers in memory first.
"""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.utils.module_loading import import_string

from phonegoggles.gateway import Gateway

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")

application = ProtocolTypeRouter(
    {
        # First the WSGI entry, which loads the apps; only then can the addresses of sockets be imported.
        "http": Gateway(import_string("phonegoggles.wsgi.application"), threads=16),
        "websocket": URLRouter(import_string("calls.urls.websocket_urlpatterns")),
    }
)
