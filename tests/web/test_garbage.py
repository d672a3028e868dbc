"""A process that answers requests: the garbage collector leaves alone what it loads at start, and nothing else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def in_a_server(code: str) -> str:
    """Return what some code prints in a fresh process that has loaded the web entry."""
    words = [sys.executable, "-c", f"import gc, sys\nimport phonegoggles.wsgi\n{code}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


def test_views_are_loaded_at_start_and_left_alone_by_the_collector() -> None:
    code = (
        "from calls.ingest.views import ProcessEvents\n"
        "print(gc.get_freeze_count() > 0, any(one is ProcessEvents for one in gc.get_objects()))"
    )

    assert in_a_server(f"assert 'calls.ingest.views' in sys.modules\n{code}") == "True False"


def test_circles_that_requests_leave_are_still_collected() -> None:
    code = (
        "import weakref\n"
        "from phonegoggles.garbage import NEW_OBJECTS\n"
        "class Circle: pass\n"
        "seen = []\n"
        "for _ in range(2 * NEW_OBJECTS):\n"
        "    circle = Circle(); circle.itself = circle; seen.append(weakref.ref(circle))\n"
        "print(sum(one() is not None for one in seen) <= NEW_OBJECTS)"
    )

    assert in_a_server(code) == "True"
