"""Fails when a model changed without a migration; needs no database, so that `make check` starts none."""

import os
import sys

os.environ |= {
    "DJANGO_SETTINGS_MODULE": "routex_site.settings.base",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "ROUTEX_SECRET_KEY": "check",
    "ROUTEX_ENCRYPTION_KEYS": "k" * 43 + "=",
}
sys.path.insert(0, ".")

import warnings

import django
from django.conf import settings
from django.core.management import call_command

# Without the pool, "nobody answers there" is known at once instead of after its patience.
settings.DATABASES["default"]["OPTIONS"] = {}
warnings.simplefilter("ignore")
django.setup()
call_command("makemigrations", check_changes=True, dry_run=True)
