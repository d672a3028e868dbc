"""Leave room on each page of calls on PostgreSQL, so that an update finds place beside its old row."""

from django.db import migrations


def leave_room(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE calls_call SET (fillfactor = 80)")


def fill_up(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE calls_call RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [("calls", "0001_calls_events_and_tokens")]

    operations = [migrations.RunPython(leave_room, fill_up, elidable=False)]
