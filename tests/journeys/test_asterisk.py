"""A real Asterisk with our configuration, our forwarder, and the service: what was dialled is what the calls say.

A second Asterisk is the telephones and the trunk. Skipped where there is none: Debian 12 has no package. The setting
ASTERISK names a program that is not on the path.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from calls.domain.vocabulary import Anomaly
from calls.models import Call
from calls.operations.webhooks import add_source
from tests.server import ROOT, free_port

ASTERISK = os.environ.get("ASTERISK") or shutil.which("asterisk") or ""
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not ASTERISK, reason="NO ASTERISK HERE: install it, or name it in ASTERISK, to try it for real"),
]
SAMPLES = ROOT / "deploy" / "asterisk"
# How long the slower of two Asterisks may take to start, and a call to show up, in seconds.
PATIENCE = 60

# What the calls need; versions differ in whether res_cdrel_custom is part of cel_custom.
MODULES = (
    "res_cdrel_custom", "cel_custom", "func_callerid", "func_channel", "func_strings", "pbx_config", "res_clioriginate",
    "app_dial", "chan_iax2", "codec_ulaw", "bridge_simple", "res_timing_timerfd", "res_timing_pthread",
)  # fmt: skip
# The PBX: who is behind each number.
NUMBERS = """
[general]
[trunk]
exten => +12025550100,1,Dial(IAX2/phones/answers,20)
exten => +12025550101,1,Dial(IAX2/phones/busy,20)
exten => +12025550102,1,Dial(IAX2/phones/rings,1)
exten => +12025550103,1,Dial(IAX2/phones/nobody,5)
exten => +12025550104,1,Answer()
 same => n,Dial(Local/100@inside/n,20)
exten => +12025550105,1,Answer()
 same => n,Wait(1)
exten => +12025550106,1,Dial(IAX2/phones/rings&IAX2/phones/answers,20)
[inside]
exten => 100,1,Dial(IAX2/phones/answers,20)
"""
# The telephones behind it.
PHONES = """
[general]
[phones]
exten => answers,1,Ringing()
 same => n,Wait(1)
 same => n,Answer()
 same => n,Wait(2)
exten => busy,1,Busy(1)
exten => rings,1,Ringing()
 same => n,Wait(30)
"""
EXPECTED = {
    "+12025550100": "ended",
    "+12025550101": "busy",
    "+12025550102": "no_answer",
    "+12025550103": "failed",
    "+12025550104": "ended",
    "+12025550105": "missed",
    "+12025550106": "ended",
}


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


class Server:
    """One Asterisk in a folder of its own."""

    def __init__(self, folder: Path, *, port: int, peer: str, peer_port: int, dialplan: str, context: str) -> None:
        self.folder = folder
        for name in ("etc", "run", "spool", "log/cel-custom", "db"):
            (folder / name).mkdir(parents=True)
        own = {"astetcdir": "etc", "astrundir": "run", "astspooldir": "spool", "astlogdir": "log", "astdbdir": "db"}
        write = self.write
        write("asterisk.conf", "[directories]\n" + "".join(f"{key} => {folder / name}\n" for key, name in own.items()))
        write("modules.conf", "[modules]\nautoload=no\n" + "".join(f"load => {name}.so\n" for name in MODULES))
        write("logger.conf", "[logfiles]\nmessages => notice,warning,error\n")
        write("extensions.conf", dialplan)
        write("indications.conf", "[general]\ncountry=us\n[us]\nringcadence=2000,4000\nbusy=480+620/500,0/500\n")
        general = f"[general]\nbindport={port}\nbindaddr=127.0.0.1\nrequirecalltoken=no\nallow=ulaw\n"
        friend = f"type=friend\nhost=127.0.0.1\nport={peer_port}\ncontext={context}\nrequirecalltoken=no\n"
        write("iax.conf", f"{general}[{peer}]\n{friend}")
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, text: str) -> None:
        (self.folder / "etc" / name).write_text(text)

    def ask(self, command: str) -> str:
        done = subprocess.run(
            [ASTERISK, "-C", str(self.folder / "etc" / "asterisk.conf"), "-rx", command],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[None]:
        self.process = subprocess.Popen(
            [ASTERISK, "-C", str(self.folder / "etc" / "asterisk.conf"), "-f", "-n"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: "fully booted" in self.ask("core waitfullybooted"))
            yield
        finally:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)


def test_what_was_dialled_is_what_the_calls_say(live_server: LiveServer, tmp_path: Path, settings: object) -> None:
    settings.OWN_NUMBERS = ["+1202555010"]  # type: ignore[attr-defined]
    ports = free_port(), free_port()
    pbx = Server(tmp_path / "pbx", port=ports[0], peer="phones", peer_port=ports[1], dialplan=NUMBERS, context="trunk")
    for name in ("cel.conf", "cel_custom.conf"):
        pbx.write(name, (SAMPLES / name).read_text())
    outside = Server(
        tmp_path / "outside", port=ports[1], peer="pbx", peer_port=ports[0], dialplan=PHONES, context="phones"
    )
    _, secret = add_source("asterisk")
    command = [sys.executable, str(SAMPLES / "forward_cel.py"), f"{live_server.url}/api/webhooks/asterisk/"]
    log = pbx.folder / "log" / "cel-custom" / "phonegoggles.csv"
    forwarder = subprocess.Popen(
        [*command, str(log), "--interval", "0.1"], env=os.environ | {"PHONEGOGGLES_SECRET": secret}
    )
    try:
        with pbx.running(), outside.running():
            for number in EXPECTED:
                dialled = outside.ask(f"channel originate IAX2/pbx/{number} application Wait 30")
                assert "No such command" not in dialled, dialled
            wait_for(lambda: Call.objects.filter(ended_at__isnull=False).count() == len(EXPECTED))
    finally:
        forwarder.terminate()
        forwarder.wait(timeout=PATIENCE)
    calls = {call.called_number: call for call in Call.objects.all()}
    assert {number: call.status for number, call in calls.items()} == EXPECTED
    # The telephones talk for two seconds.
    assert min(call.talk_seconds for call in calls.values() if call.talk_seconds is not None) >= 1
    assert {tuple(Anomaly(call.anomalies).codes()) for call in calls.values()} == {()}
    assert {call.direction for call in calls.values()} == {"inbound"}
