"""What a softphone in a browser needs of a SIP configuration."""

from datetime import datetime
from typing import Any

from django.conf import settings

from calls.domain.hosts import stun_uris, turn_uris
from calls.domain.rules import NotPossible
from calls.models import SIPConfiguration
from calls.operations.audit import note
from calls.sip.messages import host_in_uri, user_in_uri
from calls.sip.turn import turn_credentials

REVEAL = "calls.reveal_sip_password"
# A relay costs its owner something: it is for those who handle calls, not for those who only look.
RELAY = "calls.operate_call"


def webrtc_config(configuration: SIPConfiguration, *, user: Any, at: datetime) -> dict[str, Any]:
    """Return it as plain values; raise NotPossible for a configuration that cannot be used.

    The password is in it only for a user with the right to be given it; that is written down before it is given.
    Raises UnreadableSecret when it cannot be read.
    """
    if not configuration.is_active:
        raise NotPossible(f"The SIP configuration {configuration.name} is not active.")
    try:
        ice_servers, expires_at = _ice_servers(configuration, user=user, at=at)
    except ValueError as wrong:
        raise NotPossible(f"The SIP configuration {configuration.name} must be mended: {wrong}") from None
    sip_uri = None
    if configuration.username:
        sip_uri = f"sip:{user_in_uri(configuration.username)}@{host_in_uri(configuration.sip_server)}"
    config: dict[str, Any] = {
        "wss_uri": configuration.wss_uri or None,
        "sip_uri": sip_uri,
        "username": configuration.username or None,
        "realm": configuration.realm or None,
        "display_name": configuration.display_name or None,
        "ice_servers": ice_servers,
        "expires_at": expires_at,
        "jssip": None,
    }
    if configuration.encrypted_password and user.has_perm(REVEAL):
        config["password"] = configuration.password
        note(configuration, "Was given the SIP password (webrtc_config).", user=user)
    if config["wss_uri"] and sip_uri:
        config["jssip"] = _jssip(config)
    return config


def _jssip(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a JsSIP.UA; what is not known is left to its defaults."""
    known = {
        "uri": config["sip_uri"],
        "authorization_user": config["username"],
        "realm": config["realm"],
        "display_name": config["display_name"],
        "password": config.get("password"),
    }
    return {
        # JSON has no sockets: the page makes one of each address (docs/webrtc.md has the line).
        "sockets": [config["wss_uri"]],
        **{name: value for name, value in known.items() if value},
    }


def _ice_servers(
    configuration: SIPConfiguration, *, user: Any, at: datetime
) -> tuple[list[dict[str, Any]], datetime | None]:
    """Return what an RTCPeerConnection takes as iceServers, and until when."""
    servers: list[dict[str, Any]] = []
    if stun := stun_uris(configuration.stun_server):
        servers.append({"urls": stun})
    turn = turn_uris(configuration.turn_server)
    if not (turn and settings.TURN_SECRET and user.has_perm(RELAY)):
        # Without credentials a browser takes no TURN server at all.
        return servers, None
    made = turn_credentials(str(user.pk), secret=settings.TURN_SECRET, at=at, ttl_seconds=settings.TURN_TTL_SECONDS)
    servers.append({"urls": turn, "username": made.username, "credential": made.credential})
    return servers, made.expires_at
