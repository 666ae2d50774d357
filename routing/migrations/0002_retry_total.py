"""How long after a request's first try others may begin."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0001_initial")]

    operations = [
        migrations.AddField(
            "routingpolicy",
            "retry_total_s",
            models.FloatField(default=120.0, help_text="Seconds after which no further try begins."),
        ),
    ]
