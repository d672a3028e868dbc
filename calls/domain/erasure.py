"""Finding every spelling of one number in what people and systems have written, and putting a pseudonym there.

A spelling is a run of digits, perhaps with separators, that adds up to the number's digits: `+1 (202) 555-0123`,
`0012025550123`, `sip:12025550123@example.com`. A longer run is another number and stays. The pseudonym has
no digits, so that it is never taken for a number again.
"""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec.structs import replace as changed

from calls.domain.events import Event
from calls.domain.numbers import ERASED, ERASED_OWN, canonical, is_e164
from calls.domain.state import CallState
from calls.domain.vocabulary import Anomaly

# Takes digits and returns the pseudonym that is to stand there; None if they are not the number.
Find: TypeAlias = Callable[[str], str | None]

# A number with fewer digits is only told from other figures by its plus.
FEWEST_DIGITS = 7
# Without quotes around it, a figure is more likely something else.
FEWEST_DIGITS_OF_INTEGER = 9
# Fifteen of E.164, and the two zeros that some write for the plus.
MOST_DIGITS = 17

_SEPARATORS = r"(?:\(0\)|[\s().\-/\u2010-\u2015]){1,5}"
_RUN = re.compile(rf"[0-9]+(?:{_SEPARATORS}[0-9]+)*")
_GROUP = re.compile(r"\(0\)|[0-9]+")
# What stands for a non-E.164 spelling, so that two addresses that were different stay different.
_BARE = "-bare"


def pseudonym(keyed_hash: str, *, is_own: bool) -> str:
    """Return what stands for a number with this keyed hash (hexadecimal); an own number stays known as one."""
    letters = keyed_hash[:20].translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))
    return (ERASED_OWN if is_own else ERASED) + letters


def search_pattern(number: str) -> str:
    """Return a regular expression, for both databases, that whatever holds a spelling of a number matches.

    It finds too much rather than too little; JSON may have escaped what lies between the digits.
    """
    between = r"(?:[^0-9]|\\u[0-9a-fA-F]{4}|\(0\)){0,7}"
    return between.join(number.lstrip("+"))


def replace_in_text(text: str, find: Find) -> str:
    """Return a text with every spelling of the number replaced; the same text if there is none."""
    parts, last = [], 0
    for run in _RUN.finditer(text):
        groups = [group.span() for group in _GROUP.finditer(text, *run.span()) if group[0] != "(0)"]
        place = 0
        while place < len(groups):
            found = _spelling_from(text, groups[place:], find)
            if found is None:
                place += 1
                continue
            start, end, taken, name = found
            if start and text[start - 1] == "+":
                start -= 1
            parts += [text[last:start], name]
            last = end
            place += taken
    return "".join([*parts, text[last:]]) if parts else text


def _spelling_from(text: str, groups: list[tuple[int, int]], find: Find) -> tuple[int, int, int, str] | None:
    """Return where the number ends that begins with the first of some groups of digits, and its pseudonym."""
    digits = ""
    start = groups[0][0]
    for taken, (begin, end) in enumerate(groups, start=1):
        digits += text[begin:end]
        if len(digits) > MOST_DIGITS:
            return None
        whole, at = digits, start
        if digits.startswith("00"):
            whole, at = digits[2:], start + 2
        is_marked = start > 0 and text[start - 1] == "+"
        if (len(whole) >= FEWEST_DIGITS or is_marked) and (name := find(whole)) is not None:
            return at, end, taken, name
    return None


def replace_anywhere(value: Any, find: Find) -> Any:
    """Return a JSON value with every spelling of the number replaced, however deep; the same value if there is none."""
    if isinstance(value, str):
        return replace_in_text(value, find)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        digits = str(value)
        return (find(digits) or value) if FEWEST_DIGITS_OF_INTEGER <= len(digits) <= MOST_DIGITS else value
    if isinstance(value, list):
        return [replace_anywhere(inner, find) for inner in value]
    if isinstance(value, dict):
        return {replace_in_text(key, find): replace_anywhere(inner, find) for key, inner in value.items()}
    return value


def replace_address(address: str, find: Find) -> str:
    """Return an address of a call, or its pseudonym.

    Addresses with the same canonical form get the same pseudonym, and different ones different ones, so that
    nothing changes in what the events of a call add up to.
    """
    whole = canonical(address)
    if is_e164(whole) and (name := find(whole[1:])) is not None:
        return name

    def find_bare(digits: str) -> str | None:
        found = find(digits)
        return None if found is None else found + _BARE

    return replace_in_text(address, find_bare)


def hide(event: Event, find: Find) -> Event:
    """Return an event without the number; the same event if it does not mention it."""
    values = {
        "calling_number": replace_address(event.calling_number, find),
        "called_number": replace_address(event.called_number, find),
        "transfer_to": event.transfer_to and replace_address(event.transfer_to, find),
        "metadata": replace_anywhere(event.metadata, find),
    }
    return event if all(getattr(event, name) == value for name, value in values.items()) else changed(event, **values)


def is_erased(address: str | None) -> bool:
    """Say whether a pseudonym stands in an address."""
    return address is not None and ERASED in address


def may_have_erased_numbers(state: CallState) -> bool:
    """Say whether a number of the call may have been erased; where there were others, it may be one of these."""
    return bool(
        ERASED in state.calling_number
        or ERASED in state.called_number
        or state.odd & Anomaly.OTHER_NUMBERS
        or (state.transfer_target and ERASED in state.transfer_target)
    )
