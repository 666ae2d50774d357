"""Keys may be limited to networks."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_ledger")]

    operations = [
        migrations.AddField(
            model_name="gatewaykey",
            name="allowed_ips",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Networks and addresses that the key may be used from; none means all.",
            ),
        ),
    ]
