"""Quotas of a key's own tags, and of keys as gateways read them: with the key."""

from django.db import migrations, models

# Gateways read a key again when its row was written: a quota of its own is part of it.
KEY_QUOTA_MARK = """
CREATE TRIGGER tenants_quota_mark AFTER INSERT OR UPDATE OR DELETE ON tenants_quota
    FOR EACH ROW EXECUTE FUNCTION tenants_mark_key_of_row();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_tenant_tags")]

    operations = [
        migrations.AlterField(
            "quota",
            "scope",
            models.CharField(
                choices=[("tenant", "Tenant"), ("key", "Key"), ("channel", "Channel"), ("tag", "Tag")],
                default="tenant",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            "quota",
            "scope_id",
            models.CharField(
                blank=True,
                help_text="Id of the key or channel, `name=value` of a key's tag; empty for the tenant.",
                max_length=200,
            ),
        ),
        migrations.RunSQL(
            KEY_QUOTA_MARK, "DROP TRIGGER tenants_quota_mark ON tenants_quota"
        ),
    ]
