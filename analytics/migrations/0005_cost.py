"""What each request cost and by which prices, and the kinds of tokens that few requests have."""

from django.db import migrations, models

from analytics import record_table


class Migration(migrations.Migration):
    dependencies = [("analytics", "0004_decision")]

    operations = [
        migrations.RunSQL(
            record_table.ADD_COST,
            record_table.DROP_COST,
            state_operations=[
                migrations.AddField("requestrecord", "cost_nano_usd", models.BigIntegerField(null=True)),
                migrations.AddField("requestrecord", "price_version", models.TextField(default="")),
                migrations.AddField("requestrecord", "usage_details", models.JSONField(default=dict)),
            ],
        ),
        migrations.AddField(
            "usagequarter",
            "cost_nano_usd",
            models.BigIntegerField(default=0, help_text="Sum over the requests whose cost is known."),
        ),
        migrations.AddField(
            "usagequarter",
            "unpriced",
            models.BigIntegerField(default=0, help_text="How many requests were answered at an unknown cost."),
        ),
    ]
