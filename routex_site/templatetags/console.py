"""Template tags of the console: icons, and how values are written."""

from __future__ import annotations

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return an icon of the sprite; it says nothing that the text beside it does not."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("img/icons.svg"), name
    )


@register.filter
def same(value: object, other: object) -> str:
    """Return `true` or `false`, as ARIA attributes are written."""
    return "true" if value == other else "false"


@register.filter
def role_word(label: str) -> str:
    """Return a role's name without its explanation."""
    return label.partition(":")[0]
