"""Every knob of the service, read from the environment. See docs/settings.md.

Safe by default: without DEBUG there is no start without a secret key and named hosts,
and everything is meant to be reached over HTTPS.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dj_database_url
from django.templatetags.static import static

from calls.domain.recordings import RecordingStatus
from calls.domain.vocabulary import Anomaly, CallStatus, Direction
from calls.sip.egress import read_allowances
from phonegoggles import env
from phonegoggles.connections import PooledConnection

BASE_DIR = Path(__file__).resolve().parent.parent

# -- Safety ------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.required("SECRET_KEY", "it signs sessions and cursors; make one with `openssl rand -hex 32`")
if not DEBUG and len(SECRET_KEY) < 50:
    raise env.refuse("SECRET_KEY", "is shorter than 50 characters")
# Earlier ones, while sessions and fingerprints made with them are still about.
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")

ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]" if DEBUG else "")
if not DEBUG and not ALLOWED_HOSTS:
    raise env.refuse("ALLOWED_HOSTS", "is not set: name the hosts that this service answers for")
if not DEBUG and "*" in ALLOWED_HOSTS:
    raise env.refuse("ALLOWED_HOSTS", "must not be '*': name the hosts that this service answers for")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

# HTTPS=false is for a private network whose callers speak plain HTTP; `check --deploy` then complains, rightly.
HTTPS = env.flag("HTTPS", not DEBUG)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics/?$"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
if env.flag("TRUST_X_FORWARDED_PROTO", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Whose word on where a request comes from counts (X-Forwarded-For), so that guesses are counted by client.
try:
    TRUSTED_PROXIES = [word if word == "unix" else ip_network(word) for word in env.words("TRUSTED_PROXIES")]
except ValueError as wrong:
    raise env.refuse("TRUSTED_PROXIES", f"has a network that is none: {wrong}") from None
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# -- What it is made of --------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "axes",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "calls",
]

MIDDLEWARE = [
    "calls.web.counting.CountsRequests",
    "phonegoggles.policy.ContentSecurityPolicy",
    "calls.web.gate.APIGate",
    "django.middleware.security.SecurityMiddleware",
    "calls.api.quick_history.QuickHistory",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "phonegoggles.urls"
WSGI_APPLICATION = "phonegoggles.wsgi.application"
ASGI_APPLICATION = "phonegoggles.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# -- Database ------------------------------------------------------------------------------

# One connection setting for both kinds. SQLite: a writer takes its lock at BEGIN (IMMEDIATE) and waits
# for it, so that concurrent writers queue up and none sees "database is locked"; FULL makes each commit
# survive a power cut, which is what our 200 promises (docs/decisions/0003-sqlite-durability.md).
SQLITE_OPTIONS: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 60,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
try:
    _database: dict[str, Any] = dict(
        dj_database_url.parse(
            env.text("DATABASE_URL") or f"sqlite:///{(BASE_DIR / 'db.sqlite3').as_posix()}", conn_max_age=0
        )
    )
except ValueError:
    raise env.refuse("DATABASE_URL", "must be a postgresql:// or sqlite:// address") from None
DATABASES: dict[str, Any] = {"default": _database}
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {**SQLITE_OPTIONS, **_database.get("OPTIONS", {})}
elif _database["ENGINE"] == "django.db.backends.postgresql":
    # Each process keeps at most this many connections open; 0 opens one for every request.
    _pool = env.number("DATABASE_POOL", 8)
    # A connection that the database has closed meanwhile is noticed before it is used.
    _database["CONN_HEALTH_CHECKS"] = True
    # Compiling a statement costs hundreds of milliseconds, ours take a few. What the address says comes later and wins.
    _options = _database.setdefault("OPTIONS", {})
    _defaults = "-c jit=off"
    # A network that swallows everything tells nobody. So both ends ask each other, and give a connection up that has
    # been silent for so long: ours, because requests wait for it; the database's, because its transaction holds locks
    # (docs/decisions/0023).
    _silence = env.number("DATABASE_SILENCE_SECONDS", 20)
    if _silence and _silence < 4:
        raise env.refuse("DATABASE_SILENCE_SECONDS", "must be 0 or at least 4")
    if _silence:
        _asking = {"keepalives_idle": _silence // 2, "keepalives_interval": _silence // 4, "keepalives_count": 2}
        _asking = {"connect_timeout": _silence // 2, "tcp_user_timeout": _silence * 1000, **_asking}
        for _name, _value in _asking.items():
            _options.setdefault(_name, _value)
            if _name != "connect_timeout":
                _defaults += f" -c {_name.replace('keep', 'tcp_keep')}={_value}"
    _options["options"] = f"{_defaults} {_options.get('options', '')}".strip()
    if _pool:
        # The pool tries again in longer and longer pauses; given up soon, it is the next request that tries, so that a
        # database that was away for an hour is found when it is back, and not minutes later.
        _options["pool"] = {"min_size": 1, "max_size": _pool, "timeout": 10, "max_idle": 15, "reconnect_timeout": 5}
        _options["pool"]["connection_class"] = PooledConnection
else:
    raise env.refuse("DATABASE_URL", "must be a postgresql:// or sqlite:// address")

# Requests that Django answers at once, in each process (phonegoggles/gateway.py); `serve --threads` sets it.
SERVE_THREADS = env.number("SERVE_THREADS", 64)
# Single events with a token are taken before Django's middleware (calls/ingest/shortcut.py).
INGEST_SHORTCUT = env.flag("INGEST_SHORTCUT", True)
# Requests that wait at the same moment are committed together, over one connection of the process's own.
GROUP_COMMIT = env.flag("GROUP_COMMIT", True)

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# knox only lends its code: its own table is replaced by calls.AccessToken and never made.
MIGRATION_MODULES = {"knox": None}

# -- Who may come in -----------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "calls.web.signing_in.BoundedSignIn",
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
# Ten wrong passwords for one name from one address close that pair for a quarter of an hour. Tries under any names from
# one address are bounded by THROTTLE_FAILED_AUTH.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_VERBOSE = False
AXES_CLIENT_IP_CALLABLE = "calls.web.addresses.client_address"

KNOX_TOKEN_MODEL = "calls.AccessToken"  # noqa: S105 - a model's name
REST_KNOX = {"TOKEN_TTL": None, "AUTH_HEADER_PREFIX": "Token"}  # nosec B105 - no time limit

# How long a process remembers a valid token and its owner's rights: what another process revokes counts by then.
TOKEN_CACHE_SECONDS = env.number("TOKEN_CACHE_SECONDS", 5)

# "60/minute" and the like; empty means off.
THROTTLE_READS = env.rate("THROTTLE_READS")
THROTTLE_FAILED_AUTH = env.rate("THROTTLE_FAILED_AUTH", "60/minute")
THROTTLE_SIP_TESTS = env.rate("THROTTLE_SIP_TESTS", "10/minute")

# -- The API -------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "calls.web.authentication.TokenAuthentication",
        "calls.web.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["calls.web.permissions.HasDeclaredRight"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["calls.web.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "calls.web.negotiation.AlwaysJSON",
    "DEFAULT_THROTTLE_CLASSES": ["calls.web.throttles.ReadThrottle"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "calls.web.errors.answer_exception",
    "URL_FORMAT_OVERRIDE": None,
    "UNICODE_JSON": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "phonegoggles",
    "DESCRIPTION": "Phone-call events in; the state of every call, call history and live updates out.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "Direction": [word.value for word in Direction],
        "StatedDirection": [Direction.INBOUND.value, Direction.OUTBOUND.value],
        "CallStatus": [word.value for word in CallStatus],
        "RecordingStatus": [word.value for word in RecordingStatus],
        "AnomaliesEnum": [anomaly.code for anomaly in Anomaly],
    },
}

# -- The product ---------------------------------------------------------------------------

# Numbers, or the beginnings of numbers, that belong to the organisation: they tell inbound from outbound.
OWN_NUMBERS = env.words("OWN_NUMBERS")

# Fernet keys, newest first, for secrets that must be read back (SIP passwords, webhook secrets);
# without any, a key is derived from SECRET_KEY.
ENCRYPTION_KEYS = env.words("ENCRYPTION_KEYS")

# Testing a SIP configuration makes this service open a connection: where to, beside public addresses on SIP's ports,
# how long it may take in seconds, and whose certificates are trusted beside those that the system trusts.
try:
    SIP_EGRESS_ALLOW = read_allowances(env.words("SIP_EGRESS_ALLOW"))
except ValueError as wrong:
    raise env.refuse("SIP_EGRESS_ALLOW", f"has {wrong}") from None
SIP_TEST_SECONDS = env.number("SIP_TEST_SECONDS", 5)
if not 1 <= SIP_TEST_SECONDS <= 32:
    raise env.refuse("SIP_TEST_SECONDS", "must be from 1 to 32")
SIP_CA_FILE = env.text("SIP_CA_FILE")
if SIP_CA_FILE and not Path(SIP_CA_FILE).is_file():
    raise env.refuse("SIP_CA_FILE", "names no file")

# The secret that a TURN server shares with us, and how long what is made with it lasts, in seconds.
TURN_SECRET = env.text("TURN_SECRET")
TURN_TTL_SECONDS = env.number("TURN_TTL_SECONDS", 3600)
if not 60 <= TURN_TTL_SECONDS <= 7 * 86_400:
    raise env.refuse("TURN_TTL_SECONDS", "must be from 60 (a minute) to 604800 (a week)")

# How long a call may be without news before `manage.py reap_calls` assumes its end, by what it was last doing.
REAP_INITIATED_AFTER = env.age("REAP_INITIATED_AFTER", "1h")
REAP_RINGING_AFTER = env.age("REAP_RINGING_AFTER", "1h")
REAP_TALKING_AFTER = env.age("REAP_TALKING_AFTER", "12h")
REAP_HELD_AFTER = env.age("REAP_HELD_AFTER", "4h")

# What is kept of refused reports: for how long, and how much of one sender's, in rows and bytes (0 for none).
QUARANTINE_KEEP = env.age("QUARANTINE_KEEP", "30d")
QUARANTINE_ROWS = env.number("QUARANTINE_ROWS", 10_000)
QUARANTINE_BYTES = env.number("QUARANTINE_BYTES", 32 * 1024 * 1024)

# Whether it is written down who looked at which number's calls, and how long `manage.py purge_access_log` keeps that.
ACCESS_LOG = env.flag("ACCESS_LOG", True)
ACCESS_LOG_KEEP = env.age("ACCESS_LOG_KEEP", "365d")

# Where files of recordings are kept: a folder, or a bucket of an S3-compatible store (see STORAGES); and how
# large one may be, in bytes. Who we are at the store, its client finds where it always does (AWS_ACCESS_KEY_ID, ...).
MEDIA_ROOT = env.text("MEDIA_ROOT") or str(BASE_DIR / "media")
RECORDINGS_S3 = {
    "bucket_name": env.text("RECORDINGS_S3_BUCKET"),
    "endpoint_url": env.text("RECORDINGS_S3_ENDPOINT") or None,
    "region_name": env.text("RECORDINGS_S3_REGION") or None,
    "location": env.text("RECORDINGS_S3_PREFIX"),
    "file_overwrite": False,
}
MAX_RECORDING_BYTES = env.number("MAX_RECORDING_BYTES", 512 * 1024 * 1024)

# Live changes over WebSockets, in each process that serves them: how many sockets there may be and how many
# of one user, after how many seconds who listens is checked again, and how many entries back `since` may reach.
LIVE_MAX_SOCKETS = env.number("LIVE_MAX_SOCKETS", 2_000)
LIVE_MAX_SOCKETS_PER_USER = env.number("LIVE_MAX_SOCKETS_PER_USER", 1_000)
LIVE_RECHECK_SECONDS = env.number("LIVE_RECHECK_SECONDS", 30)
LIVE_CATCH_UP = env.number("LIVE_CATCH_UP", 100_000)

# -- Looking after it ------------------------------------------------------------------------

# Networks from which /metrics may be read without a token; and how much room the disks that we write to must
# have, in bytes, for /readyz to say that we are ready.
try:
    METRICS_ALLOW = [ip_network(text) for text in env.words("METRICS_ALLOW")]
except ValueError as wrong:
    raise env.refuse("METRICS_ALLOW", f"has a network that is none: {wrong}") from None
READY_FREE_BYTES = env.number("READY_FREE_BYTES", 256 * 1024 * 1024)

# -- Language, time, files -----------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "calls.models.storage.RecordingsInS3", "OPTIONS": RECORDINGS_S3}
    if RECORDINGS_S3["bucket_name"]
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG
# The doors of ingest read bodies themselves, up to their own limits; this one bounds everything else.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "phonegoggles",
    "SITE_HEADER": "phonegoggles",
    "SITE_SUBHEADER": "Every call, from its events",
    "SITE_SYMBOL": "call",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("calls/favicon.svg")}],
    "DASHBOARD_CALLBACK": "calls.admin.dashboard.front_page",
    "STYLES": ["calls.admin.navigation.own_styles"],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": "calls.admin.navigation.sidebar"},
}

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.one_of("LOG_LEVEL", "INFO", LOG_LEVELS)},
    # A 4xx is the caller's fault and has its own answer; it is no news for the operator's log.
    "loggers": {"django.request": {"level": "ERROR"}},
}
