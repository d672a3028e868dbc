"""Make the three groups that the roles of the service are: who reports, who looks, who operates."""

from django.db import migrations

RIGHTS = {
    "Telephony systems": ["add_callevent"],
    "Analysts": ["view_call", "view_callevent", "annotate_call"],
    "Operators": ["view_call", "view_callevent", "annotate_call"],
}
NAMES = {
    "add_callevent": ("callevent", "Can add call event"),
    "view_callevent": ("callevent", "Can view call event"),
    "view_call": ("call", "Can view call"),
    "annotate_call": ("call", "Can edit the notes of a call"),
}


def make_groups(apps, schema_editor):
    # Django makes permissions only after all migrations; it will find these and keep them.
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    for group_name, rights in RIGHTS.items():
        group, _ = Group.objects.get_or_create(name=group_name)
        for codename in rights:
            model, name = NAMES[codename]
            content_type, _ = ContentType.objects.get_or_create(app_label="calls", model=model)
            right, _ = Permission.objects.get_or_create(
                content_type=content_type, codename=codename, defaults={"name": name}
            )
            group.permissions.add(right)


def remove_groups(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=RIGHTS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("calls", "0002_room_for_hot_updates"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(make_groups, remove_groups)]
