"""What we keep."""

from calls.models.access import AccessToken
from calls.models.calls import Call, CallEvent

__all__ = ["AccessToken", "Call", "CallEvent"]
