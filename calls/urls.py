"""Every address of the service on one page. A last slash may be missing: a redirect would lose a body."""

from django.urls import URLPattern, URLResolver, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from calls.api.history import CallHistory
from calls.ingest.views import ProcessEvents

urlpatterns: list[URLPattern | URLResolver] = [
    # The first specification
    re_path(r"^process-events/?$", ProcessEvents.as_view(), name="process-events"),
    re_path(r"^call-history/(?P<number>[^/]+)/?$", CallHistory.as_view(), name="call-history"),
    # Documentation
    re_path(r"^api/schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^api/docs/?$", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
]
