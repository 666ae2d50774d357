"""Which channel each conversation stays on, so that a restart keeps it there."""

from django.db import migrations, models

from tenants.row_security import protect


class Migration(migrations.Migration):
    dependencies = [("analytics", "0006_price_book")]

    operations = [
        migrations.CreateModel(
            name="SessionPin",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("tenant_id", models.TextField(db_collation="C")),
                ("session", models.TextField()),
                ("model", models.TextField()),
                ("channel_id", models.TextField()),
                ("credential", models.TextField()),
                (
                    "cached_tokens",
                    models.IntegerField(default=0, help_text="Tokens that the provider's cache holds, as last told."),
                ),
                ("begun_at", models.DateTimeField()),
                ("used_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(db_index=True)),
                ("written_by", models.BigIntegerField(db_index=True)),
            ],
            options={"verbose_name": "session"},
        ),
        migrations.AddConstraint(
            "sessionpin",
            models.UniqueConstraint(fields=["tenant_id", "session", "model"], name="sessionpin_once"),
        ),
        migrations.AddIndex("sessionpin", models.Index(fields=["tenant_id", "-used_at"], name="sessionpin_newest")),
        protect("analytics_sessionpin"),
    ]
