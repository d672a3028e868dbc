"""The web entry for sockets, and for requests beside them: `manage.py serve_asgi`.

Requests take the same way here as in production, through WSGI in threads: Django's own way from
ASGI to views that wait for a database is slower, and gathers streamed answers in memory first.
"""

import os
from typing import Any

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")

# First the WSGI entry, which loads the apps; only then can the addresses of sockets be imported.
wsgi_application: Any = import_string("phonegoggles.wsgi.application")


def terminated(environ: Any, start_response: Any) -> Any:
    """Tell the application that its input ends where the body ends, also where no length says so."""
    environ["wsgi.input_terminated"] = True
    return wsgi_application(environ, start_response)


application = ProtocolTypeRouter(
    {
        "http": WSGIMiddleware(terminated, workers=16),
        "websocket": URLRouter(import_string("calls.urls.websocket_urlpatterns")),
    }
)
