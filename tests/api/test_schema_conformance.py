"""Every operation of the schema, with whatever the schema allows and forbids, as each role.

Schemathesis makes the requests and checks the answers: no 5xx, nothing undocumented, bodies and headers as
described, what breaks the schema refused. `SCHEMA_EXAMPLES=200` lets it search longer.
"""

import os
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from calls.api.recordings import FORMATS
from calls.web.parsers import MAX_BYTES
from phonegoggles.wsgi import application
from tests.build import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("groups")]
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "6"))
ROLES = {"telephony": "Telephony systems", "analyst": "Analysts", "operator": "Operators", "superuser": ""}
SCHEMA = schemathesis.openapi.from_wsgi("/api/schema/", application)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
MODES = {"possible": schemathesis.GenerationMode.POSITIVE, "impossible": schemathesis.GenerationMode.NEGATIVE}

# What is certainly below the limit of every body, however it is written.
MOST_BYTES = MAX_BYTES // 8


@schemathesis.serializer(*FORMATS)
def sound(context: Any, value: Any) -> bytes:
    """Sound is bytes; whatever else is made up is sent as it is spelled."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


def is_trimmed(body: Any) -> bool:
    """Say whether a text of the body has blanks around it, which may make it too long, or hide that it is empty."""
    texts = body.values() if isinstance(body, dict) else []
    return any(isinstance(text, str) and text != text.strip() for text in texts)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_as_the_schema_says(label: str, mode: str) -> None:
    clients = {role: sign_in(group, superuser=role == "superuser") for role, group in ROLES.items()}
    headers = {role: {"Authorization": client.defaults["HTTP_AUTHORIZATION"]} for role, client in clients.items()}

    excluded = [positive_data_acceptance]
    if "asterisk" in label:  # what says nothing of a call is counted, and not judged
        excluded.append(negative_data_rejection)

    @settings(
        max_examples=EXAMPLES,
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
        derandomize="SCHEMA_EXAMPLES" not in os.environ,
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=MODES[mode]))
    def check(case: Any) -> None:
        assume("" not in (case.query or {}).values())  # a filter that is left empty is none
        assume(not is_trimmed(case.body))  # blanks around a text say nothing
        assume(len(repr(case.body)) < MOST_BYTES)  # whose limit is no part of a schema
        # Making a request up is what takes the time, so that each role sends the same one.
        for role in ROLES:
            try:
                # Not every rule can be said in a schema: years, time zones, NUL characters, whose cursor it is.
                case.call_and_validate(headers=headers[role], excluded_checks=excluded)
            except BaseException as problem:
                problem.add_note(f"Sent by: {role}.")
                raise

    with suppress(*[Unsatisfiable] if mode == "impossible" else []):  # some operations forbid nothing
        check()
