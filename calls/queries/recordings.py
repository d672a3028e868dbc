"""Looking up recordings."""

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import connection
from django.db.models import QuerySet

from calls.models import CallRecording
from calls.queries.calls import find_call


def of_call(recordings: QuerySet[CallRecording], text: str) -> QuerySet[CallRecording]:
    """Return the recordings of the call with this UUID or external id."""
    call = find_call(text)
    return recordings.filter(call=call) if call else recordings.none()


def with_words(recordings: QuerySet[CallRecording], text: str) -> QuerySet[CallRecording]:
    """Return the recordings in whose transcripts all of these words occur, in any order.

    PostgreSQL finds whole words through its full-text index; SQLite finds any part of a text.
    """
    if connection.vendor == "postgresql":
        vector = SearchVector("transcript", config="simple")
        return recordings.annotate(words=vector).filter(words=SearchQuery(text, config="simple", search_type="plain"))
    for word in text.split():
        recordings = recordings.filter(transcript__icontains=word)
    return recordings
