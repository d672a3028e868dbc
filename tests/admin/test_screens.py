"""What holds for all screens of the admin together."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin

pytestmark = pytest.mark.django_db


def test_checking_the_screens_asks_nothing_of_the_database(django_assert_num_queries: Any):
    # These checks run before the first migration, when there are no tables yet.
    with django_assert_num_queries(0):
        assert admin.site.check(apps.get_app_configs()) == []
