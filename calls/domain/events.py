"""One fact about one call, in the words of the house."""

from datetime import datetime
from functools import lru_cache
from hashlib import sha1
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from calls.domain.vocabulary import RANKS, CallType, Direction, EventType, Source

# Every call's UUID is derived from its external id in this name space (RFC 9562, UUIDv5), so that
# all doors, and a rebuild, arrive at the same one without asking.
CALL_NAMESPACE = UUID("6d5f1a5e-8f0c-5c0b-9a55-7d2f7c3f0b6e")

_NAMESPACE_BYTES = CALL_NAMESPACE.bytes
# The bits of a UUID that say its version and variant (RFC 9562, section 4).
_UNVERSIONED = ~(0xF << 76 | 0x3 << 62)
_VERSION_5 = 0x5 << 76 | 0x2 << 62

# What sorts the events of one call: the sender's time, the rank of the type, the event's id.
EventKey: TypeAlias = tuple[datetime, int, str, str]


@lru_cache(maxsize=16384)  # more than the largest batch may name
def call_uuid(external_id: str) -> UUID:
    """Return the UUID of the call that the outside knows by this id."""
    # What `uuid.uuid5` does, in half the time.
    digest = sha1(_NAMESPACE_BYTES + external_id.encode(), usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16]) & _UNVERSIONED | _VERSION_5)


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fact about one call. (Such a structure is made five times faster than a frozen dataclass.)

    `occurred_at` is the sender's time, `received_at` ours. The numbers are as the sender wrote
    them and may be empty. `direction`, `call_type`, `cause`, `transfer_to` and `user_id` are what the door
    understood; nothing below it reads the metadata.
    """

    event_id: str
    call_id: str
    type: EventType
    occurred_at: datetime
    received_at: datetime
    source: Source
    word: str = ""
    calling_number: str = ""
    called_number: str = ""
    direction: Direction | None = None
    call_type: CallType | None = None
    cause: str | None = None
    transfer_to: str | None = None
    user_id: int | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> EventKey:
        """What sorts the events of one call; the source only decides between equal ids."""
        return (self.occurred_at, RANKS[self.type], self.event_id, self.source)

    @property
    def call_uuid(self) -> UUID:
        """The UUID of the event's call."""
        return call_uuid(self.call_id)

    def same_fact(self, other: "Event") -> bool:
        """Say whether an event that came under the same id again says the same again."""
        return (
            self.call_id == other.call_id
            and self.type == other.type
            and self.occurred_at == other.occurred_at
            and self.calling_number == other.calling_number
            and self.called_number == other.called_number
        )
