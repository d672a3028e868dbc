"""The product's own settings, in an environment fit for tests; `.env` is never read here."""

import os

os.environ.update(
    SECRET_KEY="tests-only-" + "x" * 40,
    DEBUG="false",
    ALLOWED_HOSTS="testserver,localhost,127.0.0.1",
    HTTPS="false",
    OWN_NUMBERS=os.environ.get("TEST_OWN_NUMBERS", ""),
    DATABASE_POOL="0",
    THROTTLE_FAILED_AUTH="",
    THROTTLE_READS="",
    THROTTLE_SIP_TESTS="",
    SIP_EGRESS_ALLOW="",
    TURN_SECRET="",
    # However slow the machine is, what is remembered of a token stays so for a whole test.
    TOKEN_CACHE_SECONDS="3600",
    METRICS_ALLOW="",
    ACCESS_LOG="false",
)

from phonegoggles.settings import *  # noqa: F403
from phonegoggles.settings import DATABASES, STORAGES

# A file, not memory: threads of one test then have connections of their own, as in real life.
if "sqlite3" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["TEST"] = {"NAME": os.environ.get("TEST_SQLITE", "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
