"""A softphone in a real browser: JsSIP takes what `webrtc_config` answers, and registers with a real SIP server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from calls.models import AccessToken, SIPConfiguration
from calls.operations.sip import save_configuration
from tests import peers
from tests.browser.jssip.bundle import bundle
from tests.sip.certificates import certify
from tests.sip.conftest import TEMPLATE

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("groups")]
SECRET = "shared-with-the-relay"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of somebody else's site: our Content-Security-Policy is not for it."""
    context = browser.new_context(bypass_csp=True)
    yield context.new_page()
    context.close()


# What a page does with the answer: docs/webrtc.md has the same lines.
SOFTPHONE = """
async ([path, token]) => {
  const answer = await fetch(path, { headers: { Authorization: `Token ${token}` } });
  const config = await answer.json();
  const sockets = config.jssip.sockets.map((address) => new JsSIP.WebSocketInterface(address));
  const phone = new JsSIP.UA({ ...config.jssip, sockets });
  const said = await new Promise((resolve) => {
    phone.on("registered", ({ response }) => resolve(["registered", response.status_code]));
    phone.on("registrationFailed", ({ cause }) => resolve(["failed", cause]));
    phone.start();
  });
  phone.stop();
  return said;
}
"""
# Which ways to itself a browser finds through the relay alone.
RELAYED = """
async ([path, token]) => {
  const answer = await fetch(path, { headers: { Authorization: `Token ${token}` } });
  const { ice_servers: iceServers } = await answer.json();
  const connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: "relay" });
  const found = await new Promise(async (resolve) => {
    const errors = [];
    connection.onicecandidateerror = (event) => errors.push(event.errorCode);
    connection.onicecandidate = ({ candidate }) => {
      if (candidate && candidate.candidate) resolve([candidate.type]);
      if (!candidate) resolve(errors);
    };
    connection.createDataChannel("x");
    await connection.setLocalDescription(await connection.createOffer());
  });
  connection.close();
  return found;
}
"""


@pytest.fixture(scope="session")
def jssip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script that makes JsSIP."""
    script = bundle(tmp_path_factory.mktemp("jssip"))
    if script is None:
        pytest.skip("NOT CHECKED: JsSIP cannot be had (npm and its registry are needed)")
    return script


@pytest.fixture
def websocket_port(tmp_path: Path) -> Iterator[int]:
    """The port where a Kamailio registers browsers."""
    program = peers.find_kamailio("websocket", "tls")
    if program is None:
        pytest.skip("NOT CHECKED: there is no Kamailio with WebSockets (apt-get install kamailio-websocket-modules)")
    port, tls_port = peers.free_ports(2)
    certificate = certify(tmp_path, "127.0.0.1")
    modules = ("tm", "xhttp", "websocket", "usrloc", "registrar")
    handshake = 'event_route[xhttp:request] { if (!ws_handle_handshake()) xhttp_reply("404", "Not Found", "", ""); }'
    configuration = TEMPLATE.read_text(encoding="utf-8").format(
        port=port,
        tls_port=tls_port,
        key=certificate.key,
        certificate=certificate.certificate,
        algorithm="MD5",
        more="\n".join([*(f'loadmodule "{module}.so"' for module in modules), handshake]),
        registered='if (is_method("REGISTER")) { save("location"); exit; }',
    )
    with peers.kamailio(program, configuration, port=port):
        yield port


def make(**values: Any) -> SIPConfiguration:
    defaults = {"name": "Main", "sip_server": "phonegoggles.test", "caller_number": "100", "username": "ada b"}
    return save_configuration(SIPConfiguration(), defaults | values)


def token_of_one_who_may_have_the_password() -> str:
    user = User.objects.create_superuser("ada")
    _, key = AccessToken.objects.create(user=user, name="softphone")
    return str(key)


@pytest.mark.parametrize(
    ("password", "said"), [("right", ["registered", 200]), ("wrong", ["failed", "Authentication Error"])]
)
def test_jssip_registers_with_what_webrtc_config_answers(
    page: Page, live_server: LiveServer, jssip: str, websocket_port: int, password: str, said: list[Any]
) -> None:
    configuration = make(
        password=password,
        display_name='Front "desk" €',
        wss_uri=f"ws://127.0.0.1:{websocket_port}/",
        realm="phonegoggles.test",
    )
    page.goto(f"{live_server.url}/livez")
    page.add_script_tag(content=jssip)
    path = f"/api/sip-configurations/{configuration.pk}/webrtc_config/"
    assert page.evaluate(SOFTPHONE, [path, token_of_one_who_may_have_the_password()]) == said


@pytest.mark.parametrize(("secret", "found"), [(SECRET, ["relay"]), ("another", [401])])
def test_a_browser_gets_through_the_relay_with_our_credentials(
    page: Page, live_server: LiveServer, settings: Any, secret: str, found: list[Any]
) -> None:
    programs = peers.find_coturn()
    if programs is None:
        pytest.skip("NOT CHECKED: there is no coturn (apt-get install coturn)")
    settings.TURN_SECRET = secret
    with peers.coturn(programs[0], secret=SECRET) as port:
        configuration = make(turn_server=f"turn:127.0.0.1:{port}?transport=udp")
        page.goto(f"{live_server.url}/livez")
        path = f"/api/sip-configurations/{configuration.pk}/webrtc_config/"
        assert page.evaluate(RELAYED, [path, token_of_one_who_may_have_the_password()]) == found
