"""What every test may ask for."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, settings

from calls.operations.record import committer
from tests.build import sign_in

# How long an example takes says something of the machine, and nothing of the product.
settings.register_profile(
    "ours", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("ours")


# What is shown there has nothing to do with the database: `dev.py test`, which runs everything on SQLite and on
# PostgreSQL, runs it on one of them. All of a folder, but for the files named after it.
ONCE: dict[str, set[str]] = {
    "browser": {"test_dashboard_live.py"},
    "deploy": set(),
    "domain": set(),
    "house": {"test_canaries.py", "test_connections.py"},
    "sip": set(),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what need not run on both databases."""
    for item in items:
        folder, file = item.path.parent.name, item.path.name
        if folder in ONCE and file not in ONCE[folder]:
            item.add_marker(pytest.mark.once)


@pytest.fixture
def telephony(db: None) -> Client:
    """A telephony system, which may report and read nothing."""
    return sign_in("Telephony systems")


@pytest.fixture
def analyst(db: None) -> Client:
    """An analyst, who may look at everything."""
    return sign_in("Analysts")


@pytest.fixture
def operator(db: None) -> Client:
    """An operator, who presses the buttons."""
    return sign_in("Operators")


@pytest.fixture
def groups(transactional_db: None) -> None:
    """The groups that a migration made: a test with real transactions leaves all tables empty behind it."""
    import_module("calls.migrations.0003_groups_and_their_rights").make_groups(apps, None)
    import_module("calls.migrations.0006_groups_get_the_rights_of_call_logging").give_rights(apps, None)
    import_module("calls.migrations.0009_quarantine").give_rights(apps, None)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End the committing thread, whose connection would else keep the test's database."""
    committer.stop()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what needs PostgreSQL when the tests run on SQLite."""
    if item.get_closest_marker("postgresql") and connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long the fault tests took, one after the other: together they shall stay under four minutes."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    mine = [
        each for each in reports if isinstance(each, pytest.TestReport) and "test_the_promise_is_kept" in each.nodeid
    ]
    faults = {each.nodeid for each in mine if each.when == "call" and not each.skipped}
    if faults:
        terminalreporter.write_line(
            f"{len(faults)} fault tests took {sum(each.duration for each in mine):.0f} s together."
        )
