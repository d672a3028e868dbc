"""The web entry for servers that speak ASGI: `uvicorn phonegoggles.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonegoggles.settings")

application = get_asgi_application()
