"""Who looked at a number's calls."""

from django.db.models import QuerySet

from calls.models import AccessLogEntry
from calls.models.fingerprints import number_fingerprints


def looks_at(number: str) -> QuerySet[AccessLogEntry]:
    """Return the looks at a number, whatever key they were written down with."""
    return AccessLogEntry.objects.filter(number_hmac__in=number_fingerprints(number))
