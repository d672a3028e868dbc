"""What a person does in the browser, and what is looked at on every page."""

from collections.abc import Sequence

from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import Group, User
from playwright.sync_api import Page, expect

PASSWORD = "correct horse"


def make_analyst(name: str = "ada") -> User:
    """Return a new analyst, who signs in with PASSWORD."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name="Analysts"))
    return user


def sign_in(page: Page, address: str, path: str = "/admin/", *, name: str = "ada") -> Page:
    """Sign in with a password, and go on to a path."""
    page.goto(f"{address}/admin/login/?next={path}")
    page.fill("[name=username]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    expect(page).to_have_url(f"{address}{path}")
    return page


def barriers(page: Page, *, inside: str = "body", but: Sequence[str] = ()) -> list[str]:
    """Return what axe-core finds wrong with a part of a page for people with disabilities (WCAG 2.2 A and AA)."""
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    options = {"runOnly": {"type": "tag", "values": tags}, "rules": {rule: {"enabled": False} for rule in but}}
    found = Axe().run(page, context=inside, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]]
