"""Which texts are E.164 numbers, and what a badly written one may have meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.domain.numbers import canonical, formatted, is_e164, is_own, region_of, suggest_e164


@pytest.mark.parametrize("text", ["+1234567890", "+9876543210", "+12", "+123456789012345", "+1112223333"])
def test_these_are_numbers(text: str) -> None:
    assert is_e164(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "+1",
        "1234567890",
        "+0123456789",
        "+1234567890123456",
        "+1234567890\n",
        "+١٢٣٤٥٦٧",
        "+12 34",
        "anonymous",
    ],
)
def test_these_are_not(text: str) -> None:
    assert not is_e164(text)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("+1 (234) 567-890", "+1234567890"),
        ("0049301234567", "+49301234567"),
        ("1234567890", "+1234567890"),
        ("tel:+1-234-567-890", "+1234567890"),
        ("+49 (0)30 123456", "+4930123456"),
        (" +1234567890 ", "+1234567890"),
        ("+1\u2011234\u00a0567890", "+1234567890"),
        ("+0987654321", None),
        ("anonymous", None),
        ("", None),
        ("+" + "1" * 40, None),
        ("+١٢٣٤٥٦٧", None),
        ("1" * 100_000, None),
    ],
)
def test_a_badly_written_number_gets_a_suggestion(text: str, suggestion: str | None) -> None:
    assert suggest_e164(text) == suggestion


@given(st.text())
def test_a_suggestion_is_always_a_number(text: str) -> None:
    suggestion = suggest_e164(text)
    assert suggestion is None or is_e164(suggestion)
    assert canonical(canonical(text)) == canonical(text)


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("+1234567890", "+1234567890"),
        ("+1 (234) 567-890", "+1234567890"),
        ("tel:+1234567890", "+1234567890"),
        ("sip:+1234567890@example.com", "+1234567890"),
        ("sip:alice@example.com", "sip:alice@example.com"),
        ("+0987654321", "+0987654321"),
        ("0049301234567", "0049301234567"),
        ("1234", "1234"),
        ("anonymous", "anonymous"),
    ],
)
def test_an_address_is_found_by_its_e164_form_if_it_has_one(address: str, form: str) -> None:
    assert canonical(address) == form


def test_own_numbers_are_numbers_or_their_beginnings() -> None:
    own = ("+4930123*", "+12025550100")
    assert is_own("+4930123456", own)
    assert is_own("+12025550100", own)
    assert not is_own("+12025550101", own)
    assert not is_own("+4930123456", ())
    assert not is_own("", ("", "*"))


def test_the_numbering_plan_only_enriches() -> None:
    assert region_of("+12025550123") == "US"
    assert formatted("+12025550123") == "+1 202-555-0123"
    assert region_of("+999999999999999") == ""
    assert formatted("anonymous") == "anonymous"
