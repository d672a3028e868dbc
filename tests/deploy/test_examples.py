"""The examples for systemd and compose, as far as they can be read without an init system and without Docker."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import load_command_class

from tests.server import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted([*DEPLOY.glob("*/*.service"), *DEPLOY.glob("*/*.timer")])
COMPOSE = DEPLOY / "compose" / "compose.yaml"
DOCKERFILE = DEPLOY / "compose" / "Dockerfile"
# Where the programs are on a machine that follows the examples.
PLACES = re.compile(r"/srv/phonegoggles/\.venv/bin/python|/usr/local/bin/\w+\.py")


def complaints(folder: Path, units: list[Path]) -> str:
    """Return what systemd says about units when their programs are there."""
    for unit in units:
        (folder / unit.name).write_text(PLACES.sub(sys.executable, unit.read_text()))
    words = ["systemd-analyze", "verify", "--man=no", *(str(folder / unit.name) for unit in units)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr + (f"ended with {done.returncode}" if done.returncode else "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is for Linux")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    assert len(UNITS) >= 5
    assert complaints(tmp_path, UNITS) == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is for Linux")
def test_systemd_would_notice_a_word_that_it_does_not_know(tmp_path: Path) -> None:
    [unit] = [unit for unit in UNITS if unit.name == "phonegoggles.service"]
    (tmp_path / "there").mkdir()
    wrong = tmp_path / unit.name
    wrong.write_text(unit.read_text().replace("Restart=", "Restarts="))
    assert "Restarts" in complaints(tmp_path / "there", [wrong])


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def test_compose_waits_for_services_that_are_there_and_keeps_what_it_names(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["service"]["depends_on"]
    for service in services.values():
        for name, wanted in service.get("depends_on", {}).items():
            needs_health = wanted["condition"] == "service_healthy"
            assert not needs_health or "healthcheck" in services[name]
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in compose["volumes"]
        if build := service.get("build"):
            assert (COMPOSE.parent / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE.resolve()


def test_compose_gives_only_settings_that_there_are(compose: dict[str, Any]) -> None:
    known = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for name in ("migrate", "service"):
        assert set(compose["services"][name]["environment"]) <= known


def test_the_commands_of_the_examples_are_ones_that_the_product_has() -> None:
    found = [
        text for path in (*UNITS, DOCKERFILE) for text in re.findall(r"manage\.py\W+([a-z_]+[^\n]*)", path.read_text())
    ]
    found += re.findall(r'manage\.py", "([^\]]*)', COMPOSE.read_text())
    assert len(found) >= 4
    for text in found:
        name, *words = re.sub(r'[",\]]+', " ", text).split()
        app = "calls" if (ROOT / "calls/management/commands" / f"{name}.py").exists() else "django.core"
        if name == "collectstatic":
            continue
        parser = load_command_class(app, name).create_parser("manage.py", name)
        parser.parse_args([word for word in words if word != "\\"])
