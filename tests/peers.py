"""Real SIP servers and clients that tests need. Each `find_…` returns None where one is absent.

Standard library only, because `dev.py` and `.ci/run` ask it what is missing.
"""

import os
import shutil
from pathlib import Path

MODULES = ("/usr/lib/*/kamailio/modules", "/usr/lib64/kamailio/modules", "/usr/local/lib*/kamailio/modules")


def find_kamailio(*modules: str) -> str | None:
    """Return where Kamailio is, if it has these modules too, such as `tls`."""
    program = shutil.which("kamailio", path=_with_sbin())
    root = Path("/")
    folders = [folder for pattern in MODULES for folder in root.glob(pattern.lstrip("/"))]
    if program and any(all((folder / f"{module}.so").exists() for module in modules) for folder in folders):
        return program
    return None


def find_sipp() -> str | None:
    """Return where SIPp is, which plays telephones."""
    return shutil.which("sipp", path=_with_sbin())


def _with_sbin() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
