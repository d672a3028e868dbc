"""The product's own settings, with the peers beside it in the same server."""

from phonegoggles.settings import *  # noqa: F403
from phonegoggles.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.peers.usual"]
ROOT_URLCONF = "benchmarks.peers.urls"
