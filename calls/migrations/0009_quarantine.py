"""The quarantine of refused reports; analysts look at it, operators mend and replay."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import calls.fields
import calls.models.quarantine

RIGHTS = {
    "Analysts": ["view_refusedreport"],
    "Operators": ["view_refusedreport", "change_refusedreport"],
}


def give_rights(apps, schema_editor):
    # Django makes permissions only after all migrations; it will find these and keep them.
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    content_type, _ = ContentType.objects.get_or_create(app_label="calls", model="refusedreport")
    for group_name, rights in RIGHTS.items():
        group, _ = Group.objects.get_or_create(name=group_name)
        for codename in rights:
            action, _, _ = codename.partition("_")
            right, _ = Permission.objects.get_or_create(
                content_type=content_type, codename=codename, defaults={"name": f"Can {action} refused report"}
            )
            group.permissions.add(right)


def take_rights(apps, schema_editor):
    apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="calls", codename__in=RIGHTS["Operators"]
    ).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("calls", "0008_results_of_sip_tests"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="QuarantineShare",
            fields=[
                ("sender", calls.fields.ExactField(max_length=64, primary_key=True, serialize=False)),
                (
                    "dropped",
                    models.PositiveBigIntegerField(default=0, help_text="Refused reports that there was no room for."),
                ),
                ("dropped_at", models.DateTimeField(null=True)),
            ],
            options={
                "default_permissions": [],
            },
        ),
        migrations.CreateModel(
            name="RefusedReport",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("door", calls.fields.ExactField(max_length=32)),
                ("media_type", calls.fields.ExactField(max_length=100)),
                ("sender", calls.fields.ExactField(max_length=64)),
                ("sender_name", models.CharField(max_length=150, verbose_name="sender")),
                ("status", models.PositiveSmallIntegerField()),
                ("code", calls.fields.ExactField(max_length=64)),
                ("detail", models.TextField()),
                ("errors", models.JSONField(null=True)),
                ("body", models.BinaryField()),
                ("size", models.PositiveBigIntegerField(help_text="Bytes, as it was sent.")),
                ("is_cut", models.BooleanField(default=False, help_text="Only the beginning was kept.")),
                ("fingerprint", calls.fields.ExactField(help_text="Of the whole body, keyed.", max_length=64)),
                ("kept_bytes", models.PositiveIntegerField()),
                ("event_id", calls.fields.ExactField(max_length=255, null=True)),
                ("call_id", calls.fields.ExactField(max_length=255, null=True)),
                ("times", models.PositiveIntegerField(default=1, help_text="How often it was sent.")),
                ("received_at", models.DateTimeField()),
                ("last_received_at", models.DateTimeField()),
                (
                    "state",
                    calls.fields.WordField(default=calls.models.quarantine.QuarantineState["OPEN"], max_length=9),
                ),
                ("mended_body", models.BinaryField(null=True)),
                ("replayed_status", models.PositiveSmallIntegerField(null=True)),
                ("replayed_answer", models.JSONField(null=True)),
                ("handled_at", models.DateTimeField(null=True)),
                (
                    "handled_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": ["view", "change"],
                "indexes": [
                    models.Index(fields=["state", "id"], name="refused_report_by_state"),
                    models.Index(fields=["sender", "state", "id"], name="refused_report_by_sender"),
                    models.Index(fields=["last_received_at"], name="refused_report_by_age"),
                    models.Index(fields=["event_id", "id"], name="refused_report_by_event"),
                    models.Index(fields=["call_id", "id"], name="refused_report_by_call"),
                    models.Index(
                        condition=models.Q(("handled_by__isnull", False)),
                        fields=["handled_by"],
                        name="refused_report_by_handler",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("sender", "door", "fingerprint"), name="refused_report_once"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["open", "replayed", "dismissed"])),
                        name="refused_report_state_known",
                    ),
                ],
            },
        ),
        migrations.RunPython(give_rights, take_rights),
    ]
