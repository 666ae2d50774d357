"""Serializers of the management API: what they do not know they refuse, what they never take they leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.settings import api_settings

from tenants.rest.paging import suggestion


class Strict(serializers.Serializer):
    """A serializer that refuses unknown names, so that a typing error does not pass for a default."""

    @classmethod
    def normalise(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body in the API's own names; a subclass takes other spellings here."""
        return dict(data)

    def to_internal_value(self, data: Any) -> Any:
        """Return the checked values; raises ValidationError."""
        if not isinstance(data, Mapping):
            wrong = [ErrorDetail("This must be a JSON object.", code="invalid")]
            raise serializers.ValidationError({api_settings.NON_FIELD_ERRORS_KEY: wrong})
        data = self.normalise(data)
        unknown = [name for name in data if name not in self.fields]
        if unknown:
            known = list(self.fields)
            raise serializers.ValidationError(
                {
                    name: [ErrorDetail(f"There is no such field.{suggestion(str(name), known)}", code="unknown")]
                    for name in unknown
                }
            )
        return super().to_internal_value(data)


def merge_patch(target: Any, patch: Any) -> Any:
    """Return a document with a JSON merge patch applied (RFC 7396): null takes a member away."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
