"""The request log's table with its first partitions, and the row policy of the roll-up table."""

import datetime as dt

from django.db import migrations

from analytics import record_table
from tenants.row_security import protect


def make_partitions(apps, schema_editor):
    today = dt.datetime.now(dt.UTC).date()
    schema_editor.execute(f"SET ROLE {record_table.WRITER}")
    for offset in range(-1, 2):
        schema_editor.execute(record_table.create_partition(today + dt.timedelta(days=offset)))
    schema_editor.execute("RESET ROLE")


class Migration(migrations.Migration):
    dependencies = [("analytics", "0001_initial"), ("tenants", "0002_row_security")]

    operations = [
        migrations.RunSQL(record_table.CREATE, record_table.DROP),
        migrations.RunPython(make_partitions, migrations.RunPython.noop),
        protect("analytics_usagequarter"),
    ]
