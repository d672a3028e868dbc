"""The OpenAPI schema is complete, checked in, and can be read without a network."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

ROOT = Path(__file__).parents[2]
CHECKED_IN = ROOT / "docs" / "openapi.yaml"


def schema() -> Any:
    return yaml.safe_load(CHECKED_IN.read_text(encoding="utf-8"))


def test_the_checked_in_schema_is_the_one_that_the_code_makes() -> None:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    assert out.getvalue() == CHECKED_IN.read_text(encoding="utf-8"), "run `python3 dev.py schema`"


def test_every_operation_has_a_summary_examples_of_use_and_its_errors() -> None:
    for path, methods in schema()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            assert {"401", "403"} <= set(operation["responses"]), (method, path)
            assert operation["security"], (method, path)


def test_every_error_code_of_the_contract_is_documented_for_events() -> None:
    codes = set(schema()["paths"]["/process-events/"]["post"]["responses"])
    assert codes == {"200", "207", "400", "401", "403", "405", "409", "411", "413", "415", "503"}


def test_every_setting_is_documented() -> None:
    named = set(
        re.findall(
            r'env\.(?:text|required|flag|number|words|rate|one_of|age)\(\s*"([A-Z_]+)"',
            (ROOT / "phonegoggles/settings.py").read_text(),
        )
    )
    assert "SECRET_KEY" in named
    for page in ("docs/settings.md", ".env.example"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert sorted(name for name in named if name not in text) == [], page


@pytest.mark.django_db
def test_the_documentation_pages_need_no_other_host(client: Client) -> None:
    page = client.get("/api/docs/")
    assert page.status_code == 200
    assert re.findall(r'(?:src|href)="(https?:)?//', page.content.decode()) == []
    assert client.get("/api/schema/").status_code == 200
