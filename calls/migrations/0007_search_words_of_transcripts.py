"""Index the words of transcripts on PostgreSQL."""

from django.db import migrations


def add_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX recording_by_words ON calls_callrecording"
            " USING gin (to_tsvector('simple'::regconfig, COALESCE(transcript, '')))"
        )


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX recording_by_words")


class Migration(migrations.Migration):
    dependencies = [("calls", "0006_groups_get_the_rights_of_call_logging")]

    operations = [migrations.RunPython(add_index, drop_index)]
