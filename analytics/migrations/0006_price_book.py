"""The public prices that gateways rate requests by."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0005_cost")]

    operations = [
        migrations.CreateModel(
            name="PriceBook",
            fields=[
                ("version", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=100)),
                ("body", models.BinaryField()),
                ("in_force_since", models.DateTimeField(db_index=True)),
            ],
            options={"ordering": ["-in_force_since"]},
        ),
    ]
