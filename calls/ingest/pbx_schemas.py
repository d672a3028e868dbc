"""What the API's documentation says of telephone systems that report in their own words."""

from typing import Any

from calls.ingest.asterisk import MAX_UNIQUEID_LENGTH, WORDS
from calls.ingest.schemas import COUNTS, SIP_RESULT

FREESWITCH_DESCRIPTION = """\
The document that FreeSWITCH's mod_json_cdr posts when a leg has ended (`encode` must be off). A leg that another one
made belongs to that one's call, and adds its holds; every other leg is a call, whose id is the leg's UUID. A document
that comes again is recognised. If a fact of it contradicts an earlier document of the same leg, nothing of it is
stored (409).

With a token, a signature, or, which is all that mod_json_cdr can do, HTTP Basic authentication whose password is a
token.
"""
_PROFILE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "caller_profile": {"type": "object", "additionalProperties": True},
        "times": {
            "type": "object",
            "description": "Microseconds since 1970 as texts; 0 is never.",
            "additionalProperties": True,
        },
    },
    "additionalProperties": True,
}
JSON_CDR: dict[str, Any] = {
    "type": "object",
    "required": ["variables", "callflow"],
    "properties": {
        "core-uuid": {"type": "string"},
        "switchname": {"type": "string"},
        "channel_data": {"type": "object", "additionalProperties": True},
        "variables": {"type": "object", "additionalProperties": True, "description": "Percent-encoded or not."},
        "app_log": {"type": "object", "additionalProperties": True},
        "callflow": {
            "oneOf": [{"type": "array", "minItems": 1, "items": _PROFILE}, _PROFILE],
            "description": "The leg's caller profiles, the newest first.",
        },
    },
    "additionalProperties": True,
}
JSON_CDR_EXAMPLE: dict[str, Any] = {
    "core-uuid": "4f6c1e1a-5d1b-4a0e-9d57-0c3f5a2b7a10",
    "switchname": "pbx1",
    "channel_data": {"state": "CS_REPORTING", "direction": "inbound"},
    "variables": {
        "uuid": "b2c6d6d0-93f1-4d0a-8f8c-6a2f0a1c7e01",
        "call_direction": "inbound",
        "hangup_cause": "NORMAL_CLEARING",
        "hangup_cause_q850": "16",
    },
    "callflow": [
        {
            "caller_profile": {"caller_id_number": "+12025550177", "destination_number": "+12025550100"},
            "times": {
                "created_time": "1711972800000000",
                "progress_time": "1711972801250000",
                "answered_time": "1711972808500000",
                "bridged_time": "1711972808520000",
                "hangup_time": "1711972868500000",
            },
        }
    ],
}
LEG_RESULT: dict[str, Any] = {
    **SIP_RESULT,
    "properties": {
        **SIP_RESULT["properties"],
        "status": {**SIP_RESULT["properties"]["status"], "nullable": True, "description": "Null if nothing was added."},
    },
}
LEG_RESULT["properties"]["status"]["enum"] = [*LEG_RESULT["properties"]["status"]["enum"], None]

ASTERISK_DESCRIPTION = f"""\
One channel event (CEL), or an array of up to 10,000 in 512 KiB. The fields are those of the AMI event `CEL`, in any
letter case. The events that say something of a call are {", ".join(f"`{word}`" for word in WORDS)};
the others are counted as `ignored`. All channels with one `LinkedID` are one call, whose id that is. Events that come
again are `duplicates`.

With a token, or signed by Standard Webhooks.
"""
_UNIQUE: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_UNIQUEID_LENGTH}
CHANNEL_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["EventName", "EventTime", "UniqueID", "LinkedID"],
    "properties": {
        "EventName": {"type": "string", "minLength": 1},
        "EventTime": {
            "oneOf": [{"type": "string"}, {"type": "number"}],
            "description": "Seconds since 1970, with a fraction; or ISO 8601, UTC unless it has an offset.",
        },
        "UniqueID": {**_UNIQUE, "description": "Of the channel."},
        "LinkedID": {**_UNIQUE, "description": "The same for all channels of a call."},
        "CallerIDnum": {"type": "string"},
        "CallerIDname": {"type": "string"},
        "Exten": {"type": "string"},
        "Channel": {"type": "string"},
        "Application": {"type": "string"},
        "UserField": {"type": "string", "description": "`inbound` or `outbound`, if the dialplan says so."},
        "Extra": {
            "oneOf": [{"type": "string"}, {"type": "object", "additionalProperties": True}],
            "description": "Details as JSON, as such or within a text.",
        },
    },
    "additionalProperties": True,
}
CHANNEL_EVENTS: dict[str, Any] = {
    "oneOf": [CHANNEL_EVENT, {"type": "array", "items": CHANNEL_EVENT, "minItems": 1, "maxItems": 10_000}]
}
CHANNEL_EXAMPLE: dict[str, Any] = {
    "EventName": "HANGUP",
    "EventTime": "1711972868.500000",
    "CallerIDnum": "+12025550177",
    "CallerIDname": "Grace Hopper",
    "Exten": "+12025550100",
    "Context": "from-trunk",
    "Channel": "PJSIP/trunk-00000012",
    "UniqueID": "1711972800.42",
    "LinkedID": "1711972800.42",
    "Extra": '{"hangupcause":16,"hangupsource":"PJSIP/trunk-00000012","dialstatus":"ANSWER"}',
}
CHANNEL_COUNTS: dict[str, Any] = {
    **COUNTS,
    "required": [*COUNTS["required"], "ignored"],
    "properties": {**COUNTS["properties"], "ignored": {"type": "integer"}},
}
