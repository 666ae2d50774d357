"""Row policies for every public table of this app that has a tenant, and the mark that gateways read keys by."""

from django.db import migrations

from tenants.row_security import protect

# Every write to a key notes its transaction, so that a gateway can ask for "all that was written since my last look"
# without missing a transaction that began earlier and committed later; the notice wakes it at once.
KEY_MARK = """
CREATE FUNCTION tenants_gatewaykey_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.written_by := pg_current_xact_id()::text::bigint;
    PERFORM pg_notify('routex_keys', NEW.tenant_id);
    RETURN NEW;
END $$;
CREATE TRIGGER tenants_gatewaykey_mark BEFORE INSERT OR UPDATE ON tenants_gatewaykey
    FOR EACH ROW EXECUTE FUNCTION tenants_gatewaykey_mark();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        protect("tenants_auditevent"),
        protect("tenants_configstate"),
        protect("tenants_domain"),
        protect("tenants_gatewaykey"),
        protect("tenants_limit"),
        protect("tenants_managementtoken"),
        protect("tenants_membership"),
        protect("tenants_quota"),
        migrations.RunSQL(
            KEY_MARK,
            "DROP TRIGGER tenants_gatewaykey_mark ON tenants_gatewaykey; DROP FUNCTION tenants_gatewaykey_mark();",
        ),
    ]
