"""What translation could not carry whole, kept with each request."""

from django.db import migrations, models

from analytics import record_table


class Migration(migrations.Migration):
    dependencies = [("analytics", "0002_record_table")]

    operations = [
        migrations.RunSQL(
            record_table.ADD_WARNINGS,
            record_table.DROP_WARNINGS,
            state_operations=[migrations.AddField("requestrecord", "warnings", models.TextField(default=""))],
        ),
    ]
