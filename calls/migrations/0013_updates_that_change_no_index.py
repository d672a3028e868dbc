"""Index the outcome of calls that are over, not the status, which every event changes.

Until now no update of a call was heap-only on PostgreSQL. Rewrites the table of calls, which is locked meanwhile.
"""

from django.db import migrations, models

import calls.fields


class Migration(migrations.Migration):
    dependencies = [
        ("calls", "0012_erasure_and_access_log"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="call",
            name="call_by_outcome",
        ),
        migrations.AddField(
            model_name="call",
            name="outcome",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(models.When(ended_at__isnull=False, then=models.F("status"))),
                output_field=calls.fields.WordField(max_length=11, null=True),
            ),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(
                condition=models.Q(("outcome__isnull", False)),
                fields=["outcome", "started_at", "id"],
                name="call_by_outcome",
            ),
        ),
    ]
