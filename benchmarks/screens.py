"""Visits every list of the admin, with each filter, and its other screens: `python -m benchmarks.screens '{…}' ROUNDS`.

Prints how long the database took for each, in milliseconds: the median of some visits, as the application saw it. Now
is when the latest call began, so that a table that was filled long ago has calls of today.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

import django

django.setup()

from django.conf import settings  # noqa: E402 - after the setup
from django.contrib import admin  # noqa: E402 - after the setup
from django.contrib.auth.models import User  # noqa: E402 - after the setup
from django.db import connection  # noqa: E402 - after the setup
from django.test import Client  # noqa: E402 - after the setup
from django.test.utils import override_settings  # noqa: E402 - after the setup
from django.urls import reverse  # noqa: E402 - after the setup

from calls.admin.addresses import number_url  # noqa: E402 - after the setup
from calls.models import Call  # noqa: E402 - after the setup

BACKEND = "django.contrib.auth.backends.ModelBackend"
# What the forms of filters ask for: a list does not say it itself.
OWN = {
    "call": ["from=2023-01-01&to=2023-01-01", "min_duration=90&max_duration=150", "country=US", "country=IS"],
    "callevent": ["from=2023-01-01&to=2023-01-01"],
}


class Clock:
    """Adds up how long the database took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, execute: Any, *args: Any) -> Any:
        """Run a statement and count."""
        began = time.perf_counter()
        try:
            return execute(*args)
        finally:
            self.seconds += time.perf_counter() - began


def addresses(browser: Client, numbers: dict[str, str]) -> Iterator[str]:
    """Yield every address to visit; what a list can be narrowed by, it says itself."""
    for model, model_admin in sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label):
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        answer = browser.get(path)
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code}")
        yield path
        listed = answer.context_data["cl"]  # type: ignore[attr-defined] # of a template's answer
        for spec in listed.filter_specs:
            for choice in spec.choices(listed):
                if choice.get("query_string", "?") not in ("?", ""):
                    yield f"{path}{choice['query_string']}"
        for query in OWN.get(str(model._meta.model_name), ()):
            yield f"{path}?{query}"
        if model_admin.search_fields or hasattr(model_admin, "search"):
            for text in (*numbers.values(), numbers["light"][:9], "+49", "fill-77", "fill-77-call_initiated", "nobody"):
                yield f"{path}?q={text.replace('+', '%2B')}"
    yield reverse("admin:index")
    for period in ("today", "7days", "30days", "ever"):
        for state in ("open", "returned", "all"):
            yield f"{reverse('missed-calls')}?period={period}&state={state}"
    for number in numbers.values():
        yield number_url(number)
        call = Call.objects.filter(calling_number=number).order_by("-started_at").first()
        if call is not None:
            yield reverse("admin:calls_call_change", args=[call.pk])


@contextmanager
def then() -> Iterator[None]:
    """Let it be the moment of the latest call."""
    latest = Call.objects.order_by("-started_at").values_list("started_at", flat=True)[0]
    plain = {**settings.STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with patch("django.utils.timezone.now", lambda: latest), override_settings(STORAGES=plain):
        yield


def main(numbers: dict[str, str], rounds: int) -> None:
    """Visit everything."""
    user, _ = User.objects.get_or_create(username="visitor", is_superuser=True, is_staff=True)
    browser = Client(HTTP_HOST="127.0.0.1")
    took: dict[str, list[float]] = {}
    with then():
        browser.force_login(user, backend=BACKEND)
        for address in dict.fromkeys(addresses(browser, numbers)):
            for _ in range(rounds + 1):
                clock = Clock()
                with connection.execute_wrapper(clock):
                    answer = browser.get(address)
                    b"".join(answer) if answer.streaming else answer.content
                if answer.status_code != 200:
                    raise SystemExit(f"{address}: {answer.status_code}")
                took.setdefault(address, []).append(clock.seconds * 1000)
    # The first visit also fills the caches of whoever comes first.
    print(json.dumps({address: median(times[1:]) for address, times in took.items()}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
