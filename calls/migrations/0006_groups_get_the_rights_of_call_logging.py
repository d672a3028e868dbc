"""Give the three groups their rights on calls' buttons, recordings, clients and SIP configurations."""

from django.db import migrations

VIEWS = ["view_callrecording", "view_client", "view_sipconfiguration"]
RIGHTS = {
    "Telephony systems": ["add_callrecording"],
    "Analysts": VIEWS,
    "Operators": [
        *VIEWS,
        "operate_call",
        "add_callrecording",
        "change_callrecording",
        "delete_callrecording",
        "add_client",
        "change_client",
        "delete_client",
        "add_sipconfiguration",
        "change_sipconfiguration",
        "delete_sipconfiguration",
    ],
}
NAMES = {
    "callrecording": "recording",
    "client": "client",
    "sipconfiguration": "SIP configuration",
    "call": "Can press the buttons of a call",
}


def give_rights(apps, schema_editor):
    # Django makes permissions only after all migrations; it will find these and keep them.
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    for group_name, rights in RIGHTS.items():
        group, _ = Group.objects.get_or_create(name=group_name)
        for codename in rights:
            action, _, model = codename.partition("_")
            name = NAMES[model] if action == "operate" else f"Can {action} {NAMES[model]}"
            content_type, _ = ContentType.objects.get_or_create(app_label="calls", model=model)
            right, _ = Permission.objects.get_or_create(
                content_type=content_type, codename=codename, defaults={"name": name}
            )
            group.permissions.add(right)


def take_rights(apps, schema_editor):
    Permission = apps.get_model("auth", "Permission")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=RIGHTS):
        group.permissions.remove(
            *Permission.objects.filter(content_type__app_label="calls", codename__in=RIGHTS[group.name])
        )


class Migration(migrations.Migration):
    dependencies = [("calls", "0005_rights_of_operators")]

    operations = [migrations.RunPython(give_rights, take_rights)]
