"""One fact about one call: what follows from its words."""

from uuid import uuid5

from hypothesis import example, given
from hypothesis import strategies as st

from calls.domain.events import CALL_NAMESPACE, call_uuid


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("")
@example("é😀")
@example("x" * 255)
def test_a_calls_uuid_is_the_standard_librarys_version_5_of_its_external_id(external_id: str) -> None:
    made = call_uuid(external_id)
    assert made == uuid5(CALL_NAMESPACE, external_id)
    assert (made.version, made.variant) == (5, uuid5(CALL_NAMESPACE, external_id).variant)
