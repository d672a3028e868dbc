"""What a number tells of itself: its country, what kind of line it is, who was given its range."""

from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumberType, carrier

from calls.domain.countries import country_name
from calls.domain.numbers import is_e164

_KINDS: dict[int, str] = {
    PhoneNumberType.FIXED_LINE: "fixed line",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed line or mobile",
    PhoneNumberType.TOLL_FREE: "toll-free",
    PhoneNumberType.PREMIUM_RATE: "premium rate",
    PhoneNumberType.SHARED_COST: "shared cost",
    PhoneNumberType.VOIP: "VoIP",
    PhoneNumberType.PERSONAL_NUMBER: "personal number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "company number (UAN)",
    PhoneNumberType.VOICEMAIL: "voicemail",
}
NO_E164 = "no E.164 number: an extension, a short code, a SIP user or a withheld number"


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """What is known of a number from the world's numbering plans; texts are empty where nothing is.

    `carrier` is who was given the range of numbers; the number may have been ported since.
    """

    region: str = ""
    country: str = ""
    kind: str = ""
    carrier: str = ""
    valid: bool = False


def facts_of(address: str) -> NumberFacts:
    """Return what the numbering plans say of a number, extension, SIP user or `anonymous`."""
    if not is_e164(address):
        return NumberFacts(kind=NO_E164)
    try:
        number = phonenumbers.parse(address)
    except phonenumbers.NumberParseException:
        return NumberFacts(kind="in no country's numbering plan")
    valid = phonenumbers.is_valid_number(number)
    region = phonenumbers.region_code_for_number(number) or ""
    return NumberFacts(
        region=region,
        country=country_name(region) or country_name(_by_calling_code(number.country_code)),
        kind=_KINDS.get(phonenumbers.number_type(number), "" if valid else "not in its country's numbering plan"),
        carrier=carrier.name_for_number(number, "en"),
        valid=valid,
    )


def _by_calling_code(code: int | None) -> str:
    """Return the one country that has a calling code; empty where several share it."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code or 0, ())
    return regions[0] if len(regions) == 1 else ""
