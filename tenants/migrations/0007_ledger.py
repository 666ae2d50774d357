"""The ledger of quotas: windows, leases and charges."""

from django.db import migrations, models

from tenants import ledger_tables


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_key_quotas")]

    operations = [
        migrations.RunSQL(ledger_tables.CREATE, ledger_tables.DROP),
        migrations.CreateModel(
            name="QuotaLease",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("quota_id", models.TextField()),
                ("tenant_id", models.TextField()),
                ("window_start", models.DateTimeField()),
                ("settled", models.BigIntegerField()),
                ("abandoned", models.BigIntegerField()),
                ("written_off", models.BigIntegerField()),
                ("used", models.BigIntegerField()),
            ],
            options={"db_table": "quota_lease", "managed": False},
        ),
    ]
