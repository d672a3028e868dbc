"""The menu shows everybody what they may look at, and nothing else."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

pytestmark = pytest.mark.django_db


def menu(user: User, client: Client) -> list[str]:
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/admin/")
    return [item["title"] for group in page.context["sidebar_navigation"] for item in group["items"]]


def test_an_analyst_sees_calls_and_no_access(client: Client) -> None:
    user = User.objects.create_user("ada", is_staff=True)
    user.groups.add(Group.objects.get(name="Analysts"))
    shown = menu(user, client)
    assert shown[:2] == ["Calls", "Events"]
    assert not {"Users", "Groups", "Access tokens", "Webhook sources"} & set(shown)


def test_a_superuser_sees_everything_and_each_link_leads_somewhere(client: Client) -> None:
    shown = menu(User.objects.create_superuser("root"), client)
    assert {"Calls", "Events", "Users", "Access tokens", "Failed sign-ins"} <= set(shown)
    page = client.get("/admin/")
    for group in page.context["sidebar_navigation"]:
        for item in group["items"]:
            assert client.get(item["link"]).status_code == 200, item


def test_staff_without_rights_sees_an_empty_menu(client: Client) -> None:
    assert menu(User.objects.create_user("new", is_staff=True), client) == []
