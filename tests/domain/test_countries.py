"""Countries by the beginning of a number, and what else a number tells of itself."""

import phonenumbers
import pytest

from calls.domain.countries import NAMES, countries, country_name
from calls.domain.number_facts import NO_E164, facts_of
from calls.domain.numbers import region_of


def test_every_region_that_has_numbers_has_a_name() -> None:
    assert set(NAMES) == set(phonenumbers.SUPPORTED_REGIONS)
    assert all(name.strip() == name and len(name) > 3 for name in NAMES.values())
    assert (country_name("DE"), country_name("GB"), country_name("ZZ")) == ("Germany", "United Kingdom", "")


def test_every_region_can_be_chosen_alone_or_with_those_that_share_its_code() -> None:
    offered = ", ".join(country.name for country in countries().values())
    assert [name for name in NAMES.values() if name not in offered] == []


@pytest.mark.parametrize("region", ["US", "CA", "JM", "DO", "PR"])
def test_the_area_codes_of_the_north_american_plan_tell_its_countries_apart(region: str) -> None:
    country = countries()[region]
    assert country.calling_code == "+1"
    assert country.areas
    assert {region_of(f"{area}5550199") for area in country.areas} == {region}
    assert not set(country.areas) & {area for other in countries().values() if other != country for area in other.areas}


def test_countries_outside_it_go_by_their_calling_code() -> None:
    assert (countries()["DE"].calling_code, countries()["DE"].areas) == ("+49", ())
    assert countries()["GB"].name == "United Kingdom, Guernsey, Isle of Man, Jersey"


@pytest.mark.parametrize(
    ("number", "country", "kind"),
    [
        ("+442079460001", "United Kingdom", "fixed line"),
        ("+491711234567", "Germany", "mobile"),
        ("+18005550199", "United States", "toll-free"),
        ("+4915", "Germany", "not in its country's numbering plan"),
        ("+0987654321", "", NO_E164),
        ("100", "", NO_E164),
        ("anonymous", "", NO_E164),
        ("+999123456", "", "in no country's numbering plan"),
    ],
)
def test_what_the_numbering_plans_say(number: str, country: str, kind: str) -> None:
    facts = facts_of(number)
    assert (facts.country, facts.kind) == (country, kind)


def test_the_carrier_is_told_where_it_is_known() -> None:
    assert facts_of("+491711234567").carrier
    assert facts_of("+442079460001").carrier == ""
