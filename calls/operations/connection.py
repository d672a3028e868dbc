"""Is the server of a SIP configuration there? Asked over the network, while nothing of the database is held."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from calls.models import SIPConfiguration
from calls.operations.audit import note
from calls.sip.options import Account, Finding, ask


def check_connection(configuration: SIPConfiguration, *, user: Any, at: datetime) -> Finding:
    """Ask the server, keep what came of it with the configuration, write down who wanted it, and return it.

    Raises UnreadableSecret when the stored password cannot be read.
    """
    account = Account(
        host=configuration.sip_server,
        port=configuration.sip_port,
        transport=configuration.transport,
        username=configuration.username,
        password=configuration.password,
        realm=configuration.realm,
    )
    if not connection.in_atomic_block:
        connection.close()  # a pool has few of them, and a silent server takes its time
    finding = ask(
        account,
        allowed=settings.SIP_EGRESS_ALLOW,
        within_seconds=settings.SIP_TEST_SECONDS,
        ca_file=settings.SIP_CA_FILE,
    )
    # What was changed meanwhile has not been tested.
    SIPConfiguration.objects.filter(pk=configuration.pk, updated_at=configuration.updated_at).update(
        last_tested_at=at, last_test=as_dict(finding)
    )
    where = f"{account.host}:{account.port}/{account.transport}"
    note(configuration, f"Tested the connection to {where}: {summary(as_dict(finding))}.", user=user)
    return finding


def as_dict(finding: Finding) -> dict[str, Any]:
    """Return a finding as it is stored and answered; an error is named only if there is one."""
    return {name: value for name, value in asdict(finding).items() if name != "error" or value}


def summary(found: dict[str, Any]) -> str:
    """Return a finding in a few words."""
    parts = []
    if found.get("status_code"):
        parts.append(f"{found['status_code']} {found['reason']}".strip())
    if found.get("authenticated") is not None:
        parts.append("credentials accepted" if found["authenticated"] else "credentials not accepted")
    if found.get("error"):
        parts.append(ERRORS[found["error"]])
    if found.get("latency_ms") is not None:
        parts.append(f"{found['latency_ms']} ms")
    return ", ".join(parts)


ERRORS = {
    "not_allowed": "this address or port may not be reached from here",
    "unsupported": "only UDP, TCP and TLS can be tested",
    "dns": "the name has no address",
    "refused": "the connection was refused",
    "unreachable": "the network leads nowhere",
    "tls": "no trusted TLS connection",
    "timeout": "no answer in time",
    "closed": "the connection was closed without an answer",
    "invalid_answer": "the answer is not SIP",
}
