"""Telephone numbers: E.164 by syntax, what a badly written one may have meant, and whose it is.

The numbering plan (which numbers exist) is never grounds to refuse a number; it only
enriches what is shown. Syntax: ITU-T E.164, `+` and up to fifteen digits.
"""

import re
from functools import lru_cache

import phonenumbers

# Written out as [0-9], and matched to the very end: \d would admit other scripts' digits, and $ a newline.
E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_SEPARATORS = re.compile(r"[\s().\-/\u2010-\u2015\u00a0]+")
_URI_PREFIX = re.compile(r"(?:tel|sips?):", re.IGNORECASE)
# How the pseudonyms of erased numbers begin; an own number stays known as one, or calls would change direction.
ERASED = "erased-"
ERASED_OWN = "erased-own-"


def is_e164(text: str) -> bool:
    """Say whether a text is a number in E.164 form, such as +12025550123."""
    return E164.fullmatch(text) is not None


def suggest_e164(text: str) -> str | None:
    """Return the E.164 form that a badly written number most likely meant, or None."""
    if len(text) > 64:
        return None
    bare = _SEPARATORS.sub("", _URI_PREFIX.sub("", text.strip()))
    if bare.startswith("+"):
        # "+49 (0)30 …": the zero in brackets is only dialled within the country.
        candidates = [_SEPARATORS.sub("", re.sub(r"\(0\)", "", text.strip())), bare]
    elif bare.startswith("00"):
        candidates = ["+" + bare[2:]]
    else:
        candidates = ["+" + bare]
    return next((candidate for candidate in candidates if is_e164(candidate)), None)


def canonical(address: str) -> str:
    """Return the one spelling by which an address is found: E.164 where there is one, else as sent.

    Only spellings that already say the country (`+`, `tel:+`) have an E.164 form; extensions,
    short codes, SIP users and `anonymous` stay as they are.
    """
    if is_e164(address):
        return address
    bare = _SEPARATORS.sub("", _URI_PREFIX.sub("", address.partition("@")[0]))
    return bare if is_e164(bare) else address


@lru_cache(maxsize=64)
def own_prefixes(own_numbers: tuple[str, ...]) -> tuple[str, ...]:
    """Return how the organisation's numbers begin, as they are configured."""
    beginnings = [number.strip().rstrip("*") for number in own_numbers if number.strip().rstrip("*")]
    return (*beginnings, ERASED_OWN) if beginnings else ()


def is_own(number: str, own_numbers: tuple[str, ...]) -> bool:
    """Say whether a number is one of the organisation's numbers, or begins like one of them."""
    return number.startswith(own_prefixes(own_numbers))


@lru_cache(maxsize=4096)
def region_of(number: str) -> str:
    """Return the ISO 3166 country code that a number belongs to, such as US, or an empty text."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or ""
    except phonenumbers.NumberParseException:
        return ""


@lru_cache(maxsize=4096)
def formatted(number: str) -> str:
    """Return a number spaced for reading, such as +1 202-555-0123; anything else as it is."""
    if not is_e164(number):
        return number
    try:
        return phonenumbers.format_number(phonenumbers.parse(number), phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    except phonenumbers.NumberParseException:
        return number
