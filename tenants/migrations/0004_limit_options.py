"""Options and models of limits; a change of a key's limit marks the key, so that gateways read it again."""

from django.db import migrations, models

MARK = """
CREATE FUNCTION tenants_mark_key_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' AND NEW.scope = 'key' THEN
        UPDATE tenants_gatewaykey SET slug = slug WHERE id = NEW.scope_id AND tenant_id = NEW.tenant_id;
    END IF;
    IF TG_OP <> 'INSERT' AND OLD.scope = 'key' THEN
        UPDATE tenants_gatewaykey SET slug = slug WHERE id = OLD.scope_id AND tenant_id = OLD.tenant_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_limit_mark AFTER INSERT OR UPDATE OR DELETE ON tenants_limit
    FOR EACH ROW EXECUTE FUNCTION tenants_mark_key_of_row();
"""
UNMARK = "DROP TRIGGER tenants_limit_mark ON tenants_limit; DROP FUNCTION tenants_mark_key_of_row();"


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_setup_token")]

    operations = [
        migrations.AddField(
            model_name="limit", name="options", field=models.JSONField(blank=True, default=dict)
        ),
        migrations.AlterField(
            model_name="limit",
            name="scope",
            field=models.CharField(
                choices=[("tenant", "Tenant"), ("key", "Key"), ("channel", "Channel"), ("model", "Model")],
                default="tenant",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="limit",
            name="scope_id",
            field=models.CharField(
                blank=True,
                help_text="Id of the key or channel, or a pattern of model names; empty for the tenant.",
                max_length=200,
            ),
        ),
        migrations.RunSQL(MARK, UNMARK),
    ]
