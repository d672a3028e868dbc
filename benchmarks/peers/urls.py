"""The addresses of the peers, then the product's."""

from django.urls import include, path

from benchmarks.peers.empty import Empty
from benchmarks.peers.usual.views import UsualEvents

urlpatterns = [
    path("peers/empty/", Empty.as_view()),
    path("peers/usual/", UsualEvents.as_view()),
    path("", include("phonegoggles.urls")),
]
