"""Why each request went where it went, kept with it."""

from django.db import migrations, models

from analytics import record_table


class Migration(migrations.Migration):
    dependencies = [("analytics", "0003_warnings")]

    operations = [
        migrations.RunSQL(
            record_table.ADD_DECISION,
            record_table.DROP_DECISION,
            state_operations=[migrations.AddField("requestrecord", "decision", models.JSONField(default=dict))],
        ),
    ]
