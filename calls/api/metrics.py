"""What Prometheus scrapes: `/metrics`, with a token or from an allowed network."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.views import APIView

from calls.metrics import write_out
from calls.queries.figures import figures

# Whoever comes through a proxy has the proxy's address, which says nothing of who they are.
SIGNS_OF_A_PROXY = ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_VIA")


class Metrics(APIView):
    """Tell the metrics, in Prometheus's text format."""

    rights = {"GET": "calls.view_call"}
    throttle_classes = ()

    def check_permissions(self, request: Request) -> None:
        """Let in who comes from an allowed network, and else whoever has the right, over HTTPS where that is wanted."""
        if is_from_allowed_network(request._request):
            return
        super().check_permissions(request)
        if settings.SECURE_SSL_REDIRECT and not request.is_secure():
            raise PermissionDenied("Use HTTPS, or name the network in METRICS_ALLOW.", "https_required")

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Answer within seconds, also when the database does not."""
        return HttpResponse(
            write_out(_Database()), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
        )


def is_from_allowed_network(request: HttpRequest) -> bool:
    """Say whether a request comes directly from one of METRICS_ALLOW's networks."""
    if any(request.META.get(sign) for sign in SIGNS_OF_A_PROXY):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR") or "")
    except ValueError:
        return False  # a Unix domain socket has none
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in settings.METRICS_ALLOW)


class _Database(Collector):
    """Figures that are read from the database when they are asked for."""

    def collect(self) -> Iterator[Any]:
        """Yield what could be read."""
        found = figures()
        yield GaugeMetricFamily(
            "phonegoggles_database_up", "1 if the database answered in time.", value=found is not None
        )
        if found is None:
            return
        yield GaugeMetricFamily(
            "phonegoggles_calls_in_progress", "Calls without an end; 100000 stands for more.", found.calls_in_progress
        )
        yield GaugeMetricFamily(
            "phonegoggles_quarantine_open",
            "Refused reports that wait for somebody; 100000 stands for more.",
            found.quarantine_open,
        )
        yield GaugeMetricFamily(
            "phonegoggles_quarantine_dropped",
            "Refused reports that there was no room for, of the senders that are kept.",
            found.quarantine_dropped,
        )
