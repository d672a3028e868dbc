"""Reading the fields of a reported body, whatever the vocabulary: each wrong one is noted by name."""

from datetime import datetime
from typing import Any

from calls.domain.instants import EXAMPLE, NotAnInstant, read_instant
from calls.domain.numbers import is_e164, suggest_e164
from calls.web.bodies import FieldErrors

MAX_ID_LENGTH = 255
REQUIRED = "This field is required."


def read_text(fields: dict[str, Any], name: str, errors: FieldErrors) -> str:
    """Return a required text; note an error and return an empty one when there is none."""
    value = fields.get(name)
    if isinstance(value, str) and value:
        return value
    if name not in fields:
        errors[name] = [REQUIRED]
    elif isinstance(value, str):
        errors[name] = ["Must not be empty."]
    else:
        errors[name] = ["Must be a text."]
    return ""


def read_word(fields: dict[str, Any], name: str, words: Any, errors: FieldErrors) -> str:
    """Return a required text that is one of the known words, of which an error gives the list."""
    word = read_text(fields, name, errors)
    if word and word not in words:
        errors[name] = [f"Must be one of {', '.join(words)}."]
        return ""
    return word


def read_id(fields: dict[str, Any], name: str, errors: FieldErrors) -> str:
    """Return a required id exactly as it was sent; a JSON integer counts as its digits."""
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
        fields = {**fields, name: value}
    text = read_text(fields, name, errors)
    if text and not text.strip():
        errors[name] = ["Must not be blank."]
    elif len(text) > MAX_ID_LENGTH:
        errors[name] = [f"Must have at most {MAX_ID_LENGTH} characters."]
    return text


def read_e164(fields: dict[str, Any], name: str, errors: FieldErrors) -> str:
    """Return a required number in E.164 form; for a badly written one the error suggests the right spelling."""
    value = fields.get(name)
    if isinstance(value, str) and is_e164(value):
        return value
    if name not in fields:
        errors[name] = [REQUIRED]
        return ""
    message = "Must be a text with a number in E.164 form, as in +12025550123."
    if isinstance(value, int | str) and (suggestion := suggest_e164(str(value))):
        message += f" Did you mean {suggestion}?"
    errors[name] = [message]
    return ""


def read_address(fields: dict[str, Any], name: str, errors: FieldErrors) -> str:
    """Return a number, extension, SIP user or `anonymous` as it was sent; empty where there is none."""
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        errors[name] = ["Must be a text."]
        return ""
    if len(value) > MAX_ID_LENGTH:
        errors[name] = [f"Must have at most {MAX_ID_LENGTH} characters."]
        return ""
    return value.strip()


def read_time(fields: dict[str, Any], name: str, errors: FieldErrors, *, otherwise: datetime) -> datetime:
    """Return a required ISO 8601 date and time; after noting an error, `otherwise`."""
    if name in fields and not isinstance(fields[name], str):
        errors[name] = [f"Must be a text with an ISO 8601 date and time, as in {EXAMPLE}."]
        return otherwise
    text = read_text(fields, name, errors)
    if not text:
        return otherwise
    try:
        return read_instant(text)
    except NotAnInstant as error:
        errors[name] = [str(error)]
        return otherwise


def read_object(fields: dict[str, Any], name: str, errors: FieldErrors) -> dict[str, Any]:
    """Return a JSON object; empty where there is none."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        errors[name] = ["Must be a JSON object."]
        return {}
    return value
