"""What must hold after any storm: every stored call is what its stored events add up to."""

from django.utils import timezone

from calls.models import Call
from calls.operations.rebuild import rebuild


def assert_calls_follow_from_their_events() -> None:
    """Compare every call with the fold of its events, as `rebuild_calls --dry-run` does; show the first that differ."""
    stretches = rebuild(Call.objects.all(), at=timezone.now(), dry_run=True)
    different = [difference for progress in stretches for difference in progress.differences]
    assert different == [], f"{len(different)} calls differ: {different[:3]}"
