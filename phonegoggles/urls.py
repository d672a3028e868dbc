"""The root of all addresses: health, the admin, and everything that `calls` offers."""

from django.contrib import admin
from django.urls import include, path

from calls.admin.dashboard import figures
from phonegoggles.health import livez

urlpatterns = [
    path("livez", livez, name="livez"),
    path("admin/figures/", admin.site.admin_view(figures), name="dashboard-figures"),
    path("admin/", admin.site.urls),
    path("", include("calls.urls")),
]

handler400 = "calls.web.errors.bad_request"
handler403 = "calls.web.errors.permission_denied"
handler404 = "calls.web.errors.not_found"
handler500 = "calls.web.errors.server_error"
