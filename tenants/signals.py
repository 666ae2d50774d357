"""config_changed: the only signal Routex defines; it means "rebuild this tenant's snapshot".

Sent on commit with `tenant_id`. `routing` listens: it sits above the apps that change configuration, so it cannot be
called by them.
"""

from django.dispatch import Signal

config_changed = Signal()
