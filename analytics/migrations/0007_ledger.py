"""The ledger of quotas: windows, leases and charges."""

from django.db import migrations

from analytics import ledger_tables


class Migration(migrations.Migration):
    dependencies = [("analytics", "0006_price_book"), ("tenants", "0002_row_security")]

    operations = [migrations.RunSQL(ledger_tables.CREATE, ledger_tables.DROP)]
