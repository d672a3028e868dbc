"""What tests of the admin use: people who are signed in, and a page's table as rows of text."""

import itertools
import re
from html import unescape
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from calls.domain.events import call_uuid

CALLS = "/admin/calls/call/"
EVENTS = "/admin/calls/callevent/"
TOKENS = "/admin/calls/accesstoken/"
RECORDINGS = "/admin/calls/callrecording/"
CLIENTS = "/admin/calls/client/"
SIP = "/admin/calls/sipconfiguration/"
REFUSED = "/admin/calls/refusedreport/"
WEBHOOKS = "/admin/calls/webhooksource/"

_numbers = itertools.count(1)


def make_staff(*rights: str, group: str = "", superuser: bool = False) -> User:
    """Return a new user who may sign in to the admin and has these rights."""
    user = User.objects.create_user(f"staff-{next(_numbers)}", is_staff=True, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    if group:
        user.groups.add(Group.objects.get(name=group))
    return user


def visit(user: User | None = None) -> Client:
    """Return the browser of a user; without one, of a new superuser."""
    client = Client()
    client.force_login(user or make_staff(superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    return client


def call_page(external_id: str) -> str:
    """Return the address of a call's page."""
    return f"{CALLS}{call_uuid(external_id)}/change/"


def page_of(row: Model, *, part: str = "change") -> str:
    """Return the address of a row's page, or of a part of it, such as `delete`."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist") + f"{row.pk}/{part}/"


def text_of(html: str) -> str:
    """Return the text of a piece of HTML, in single blanks."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def rows_of(response: Any) -> list[list[str]]:
    """Return the rows of a list as the texts of their cells."""
    html = response.content.decode()
    rows = re.findall(r'<tr class="data-row.*?</tr>', html, flags=re.DOTALL)
    return [
        [text_of(cell) for cell in re.findall(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL)] for row in rows
    ]


def headers_of(response: Any) -> list[str]:
    """Return the headers of a list."""
    return [
        text_of(cell) for cell in re.findall(r"<th [^>]*scope=\"col\".*?</th>", response.content.decode(), re.DOTALL)
    ]


def shown_ids(response: Any) -> list[Any]:
    """Return the primary keys of a list's rows, in the order of the page."""
    return [row.pk for row in response.context["cl"].result_list]


def shown_calls(response: Any) -> list[str]:
    """Return the external ids of the calls of a list, in the order of the page."""
    return [call.external_id for call in response.context["cl"].result_list]


def link_to(response: Any, relation: str) -> str:
    """Return where a list's link to another page leads, such as `next`; empty if there is none."""
    found = re.search(rf'href="([^"]*)" rel="{relation}"', response.content.decode())
    return unescape(found[1]) if found else ""


def messages_of(response: Any) -> list[str]:
    """Return the messages that a page shows, as text."""
    return [text_of(str(message)) for message in response.context["messages"]]
