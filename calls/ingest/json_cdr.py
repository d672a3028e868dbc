"""Reading the document that FreeSWITCH's mod_json_cdr posts, apart from what it means (freeswitch.py)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from calls.domain.instants import LAST_YEAR
from calls.ingest.fields import MAX_ID_LENGTH, REQUIRED
from calls.web.bodies import FieldErrors
from calls.web.errors import Invalid

# A leg has a UUID (36 characters); what is added to it must still fit into an event's id.
MAX_UUID_LENGTH = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The same instants once more among the variables, from the newest caller profile: older servers write the key
# `callflow` once for each profile, of which a JSON reader keeps only the oldest.
VARIABLES = {
    "created_time": "start_uepoch",
    "progress_time": "progress_uepoch",
    "progress_media_time": "progress_media_uepoch",
    "answered_time": "answer_uepoch",
    "bridged_time": "bridge_uepoch",
    "hangup_time": "end_uepoch",
}


@dataclass(slots=True)
class Document:
    """The parts of a document that matter, checked."""

    uuid: str
    variables: dict[str, str]
    profiles: list[dict[str, Any]]  # the newest first
    outbound: bool
    times: dict[str, datetime]  # the earliest of each
    transferred: list[datetime]


def read_document(fields: dict[str, Any]) -> Document:
    """Return the parts of a document that matter; raise Invalid with what is wrong."""
    errors: FieldErrors = {}
    told = fields.get("variables")
    if not isinstance(told, dict):
        errors["variables"] = ["Must be a JSON object." if "variables" in fields else REQUIRED]
        told = {}
    # With `encode-values`, which is FreeSWITCH's default, each variable is percent-encoded.
    variables = {name: unquote(value).replace("\0", "") for name, value in told.items() if isinstance(value, str)}
    flow = fields.get("callflow")
    flow = [flow] if isinstance(flow, dict) else flow
    if not isinstance(flow, list) or not flow:
        errors["callflow"] = ["Must be a list of caller profiles." if "callflow" in fields else REQUIRED]
        flow = []
    profiles = [
        {key: _object(part, key) for key in ("caller_profile", "times")} for part in flow if isinstance(part, dict)
    ]
    if not errors and not profiles:
        errors["callflow"] = ["Must be a list of caller profiles."]
    uuid = variables.get("uuid") or next((text_of(profile["caller_profile"], "uuid") for profile in profiles), "")
    if not errors and not (uuid.strip() and len(uuid) <= MAX_UUID_LENGTH):
        errors["variables"] = [f"Must name the leg's uuid, in at most {MAX_UUID_LENGTH} characters."]
    times = {name: found for name in VARIABLES if (found := _times(profiles, variables, name, errors))}
    if not errors and "created_time" not in times:
        errors["callflow"] = ["Must say in `times` when the leg was made (`created_time`)."]
    transferred = _times(profiles, {}, "transfer_time", errors)
    if errors:
        raise Invalid(errors)
    channel = fields.get("channel_data")
    return Document(
        uuid=uuid,
        variables=variables,
        profiles=profiles,
        outbound=isinstance(channel, dict) and channel.get("direction") == "outbound",
        times={name: found[0] for name, found in times.items()},
        transferred=transferred,
    )


def _times(profiles: list[dict[str, Any]], variables: dict[str, str], name: str, errors: FieldErrors) -> list[datetime]:
    """Return the known times of a kind, the earliest first; those of the profiles beat the variables."""
    found = []
    for value in [profile["times"].get(name) for profile in profiles]:
        try:
            instant = _instant(value)
        except ValueError:
            errors["callflow"] = [f"`{name}` must be microseconds since 1970, before {LAST_YEAR + 1}."]
            continue
        if instant is not None:
            found.append(instant)
    if not found and variables.get(VARIABLES.get(name, "")):
        try:
            found = [instant for instant in [_instant(variables[VARIABLES[name]])] if instant is not None]
        except ValueError:
            errors["variables"] = [f"`{VARIABLES[name]}` must be microseconds since 1970, before {LAST_YEAR + 1}."]
    return sorted(found)


def _instant(value: object) -> datetime | None:
    """Return the instant that a count of microseconds names, None for zero or nothing; raise ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(value)
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 17):
        raise ValueError(value)
    instant = EPOCH + timedelta(microseconds=int(text))
    if instant.year > LAST_YEAR:
        raise ValueError(value)
    return instant if int(text) else None


def instant_or_none(value: str) -> datetime | None:
    """Return an instant out of a variable's text; one that makes no sense is none."""
    try:
        return _instant(value)
    except ValueError:
        return None


def profile_of(document: Document, *, first: bool = False) -> dict[str, Any]:
    """Return the newest caller profile, or the first one that the leg had."""
    profile: dict[str, Any] = document.profiles[-1 if first else 0]["caller_profile"]
    return profile


def _object(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def text_of(fields: dict[str, Any], name: str) -> str:
    """Return a text without the blanks around it, cut to what can be kept; empty where there is none."""
    value = fields.get(name)
    return value.strip()[:MAX_ID_LENGTH] if isinstance(value, str) else ""
