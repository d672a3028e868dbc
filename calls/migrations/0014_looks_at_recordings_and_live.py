"""The access log learns two words; going back, their entries get the nearest of the old ones."""

from django.db import migrations, models

OLD = ["history", "history_export", "call_list", "call", "client_history",
       "admin_number", "admin_call", "admin_search", "admin_export"]  # fmt: skip
NEW = [*OLD[:5], "recording", "live", *OLD[5:]]


def use_old_words(apps, editor):
    entries = apps.get_model("calls", "AccessLogEntry")._default_manager
    entries.filter(what="recording").update(what="call")
    entries.filter(what="live").update(what="call_list")


def known(words):
    return models.CheckConstraint(condition=models.Q(what__in=words), name="access_log_entry_what_known")


class Migration(migrations.Migration):
    dependencies = [("calls", "0013_updates_that_change_no_index")]

    operations = [
        migrations.RemoveConstraint(model_name="accesslogentry", name="access_log_entry_what_known"),
        migrations.RunPython(migrations.RunPython.noop, use_old_words),
        migrations.AddConstraint(model_name="accesslogentry", constraint=known(NEW)),
    ]
