"""The root of all addresses: health, the admin, and everything that `calls` offers."""

from django.contrib import admin
from django.urls import include, path

from phonegoggles.health import livez, readyz

urlpatterns = [
    path("livez", livez, name="livez"),
    path("readyz", readyz, name="readyz"),
    path("admin/", include("calls.admin.urls")),
    path("admin/", admin.site.urls),
    path("", include("calls.urls")),
]

handler400 = "calls.web.errors.bad_request"
handler403 = "calls.web.errors.permission_denied"
handler404 = "calls.web.errors.not_found"
handler500 = "calls.web.errors.server_error"
