"""What we keep."""

from calls.models.access import AccessToken
from calls.models.access_log import AccessLogEntry
from calls.models.calls import Call, CallEvent
from calls.models.changes import CallChange
from calls.models.clients import Client, ClientNumber
from calls.models.erasure import ErasedCall, ErasedEvent, ErasureReceipt
from calls.models.hours import ChangedHour, HourFigures
from calls.models.idempotency import IdempotentRequest
from calls.models.quarantine import QuarantineShare, RefusedReport
from calls.models.recordings import CallRecording
from calls.models.sip import SIPConfiguration
from calls.models.webhooks import WebhookSource

__all__ = [
    "AccessLogEntry",
    "AccessToken",
    "Call",
    "CallChange",
    "CallEvent",
    "CallRecording",
    "ChangedHour",
    "Client",
    "ClientNumber",
    "ErasedCall",
    "ErasedEvent",
    "ErasureReceipt",
    "HourFigures",
    "IdempotentRequest",
    "QuarantineShare",
    "RefusedReport",
    "SIPConfiguration",
    "WebhookSource",
]
