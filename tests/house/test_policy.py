"""What browsers may do with our answers: every one of them carries a policy, as strict as its page can bear."""

import re

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.admin.pages import CALLS, make_staff, visit

pytestmark = pytest.mark.django_db


def policy_of(client: Client, path: str) -> dict[str, set[str]]:
    """Return the directives of the policy of an answer, with their sources."""
    header = client.get(path).headers["Content-Security-Policy"]
    return {name: set(sources) for name, *sources in (part.split() for part in header.split("; "))}


@pytest.mark.parametrize(
    "path",
    ["/livez", "/", "/nothing", "/api/nothing", "/api/call-logs/", "/api/schema/", "/process-events/", "/favicon.ico"],
)
def test_what_is_no_page_may_do_nothing(path: str, client: Client):
    assert policy_of(client, path) == {
        "default-src": {"'none'"},
        "base-uri": {"'none'"},
        "form-action": {"'none'"},
        "frame-ancestors": {"'none'"},
    }


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", CALLS, "/admin/nothing/", "/api/docs/", "/api/docs"])
def test_pages_run_no_inline_scripts_and_ask_no_other_host(path: str):
    policy = policy_of(visit(), path)
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == {"'none'"}
    assert policy["script-src"] <= {"'self'", "'unsafe-eval'"}
    sources = set().union(*policy.values())
    assert sources <= {"'none'", "'self'", "data:", "'unsafe-eval'", "'unsafe-inline'"}


def test_only_the_admin_evaluates_words_as_scripts_and_has_inline_styles():
    policy = policy_of(visit(), "/api/docs/")
    assert not {"'unsafe-eval'", "'unsafe-inline'"} & set().union(*policy.values())


def test_no_screen_of_the_admin_has_a_script_that_the_policy_forbids():
    browser = visit(make_staff(superuser=True))
    addresses = ["/admin/", "/admin/login/", "/api/docs/"]
    for pattern in _patterns(get_resolver().url_patterns):
        if pattern.name and re.search("_(changelist|add)$", pattern.name):
            addresses.append("/" + _path(pattern))
    pages = {address: browser.get(address) for address in addresses}
    shown = [page.content.decode() for page in pages.values() if page.status_code == 200]
    assert len(shown) > 12
    for html in shown:
        for attributes, script in re.findall(r"<script\b([^>]*)>(.*?)</script>", html, re.DOTALL | re.IGNORECASE):
            assert "src=" in attributes or 'type="application/json"' in attributes or not script.strip(), script
        assert not re.search(r"<[^>]*\s(?:onclick|onload|onchange|onsubmit|onerror)=", html, re.IGNORECASE)
        assert "javascript:" not in html.lower()


def _patterns(patterns: "list[URLPattern | URLResolver]", before: str = "") -> "list[URLPattern]":
    found = []
    for one in patterns:
        path = before + str(one.pattern)
        if isinstance(one, URLResolver):
            found += _patterns(one.url_patterns, path)
        else:
            one.whole = path  # type: ignore[attr-defined]
            found.append(one)
    return found


def _path(pattern: URLPattern) -> str:
    return str(pattern.whole)  # type: ignore[attr-defined]
