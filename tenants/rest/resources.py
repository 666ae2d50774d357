"""Resource: what every kind of object in the management API shares, in parts that a view picks from."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.utils.http import parse_etags
from rest_framework.exceptions import ParseError
from rest_framework.exceptions import ValidationError as InvalidValue
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from tenants.callers import Caller, tenant_required
from tenants.engine.ids import is_id
from tenants.problems import FieldError, Problem
from tenants.rest.paging import PARAMETERS, suggestion, wrong_parameter
from tenants.rest.serializers import merge_patch

MAX_BODY_BYTES = 2 * 2**20


class BoundedJSONParser(JSONParser):
    """JSON up to MAX_BODY_BYTES that can be told again: no half surrogate pairs, no number beyond all bounds."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        """Return the decoded body; raises Problem or ParseError."""
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise Problem("request-too-large", f"A body has at most {MAX_BODY_BYTES // 2**20} MB.")
        try:
            parsed: dict[str, Any] = super().parse(io.BytesIO(body), media_type, parser_context)
            json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        except UnicodeEncodeError:
            raise ParseError("A string holds half of a surrogate pair, which is no character.") from None
        except ValueError:
            raise ParseError("A number is too large.") from None
        return parsed


class MergePatchParser(BoundedJSONParser):
    """JSON under the name that RFC 7396 gives to a merge patch."""

    media_type = "application/merge-patch+json"


class Resource(GenericViewSet[Any]):
    """One kind of object of the caller's tenant.

    The middleware has entered the tenant's scope. Writes go through services: a view fills in `create_object`,
    `update_object` or `delete_object` for the parts that it picked.
    """

    noun: ClassVar[str] = "object"
    id_prefix: ClassVar[str] = ""
    has_slug: ClassVar[bool] = True
    #: Whether a platform caller must name a tenant first.
    needs_tenant: ClassVar[bool] = True
    sort_fields: ClassVar[tuple[str, ...]] = ("slug", "created_at")
    default_sort: ClassVar[str] = "slug"
    #: Where in the body a model's field stands, when it has another name there.
    pointers: ClassVar[Mapping[str, str]] = {}

    lookup_url_kwarg = "id"
    lookup_value_converter = "str"
    parser_classes = (BoundedJSONParser, MergePatchParser)
    serializer_class: Any  # of Strict, where the resource takes bodies

    @property
    def caller(self) -> Caller:
        """Who calls."""
        caller: Any = self.request.auth
        return caller

    @property
    def tenant_id(self) -> str:
        """The tenant that the call is for."""
        tenant = self.caller.tenant
        if tenant is None:
            raise tenant_required()
        return str(tenant.pk)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the caller, their role, the tenant and the query before anything else."""
        super().initial(request, *args, **kwargs)
        if self.needs_tenant and self.caller.tenant is None:
            raise tenant_required()
        known = self.query_parameters()
        for name in request.query_params:
            if name not in known:
                raise wrong_parameter(name, "unknown", f"There is no parameter `{name}`.{suggestion(name, known)}")

    def query_parameters(self) -> list[str]:
        """Return the names that may stand in the query: of a list, paging and filters."""
        if self.action != "list":
            return []
        filters = getattr(self, "filterset_class", None)
        return [*PARAMETERS, *(filters.base_filters if filters else ())]

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that the filters in the query let through."""
        try:
            return super().filter_queryset(queryset)
        except InvalidValue as error:
            wrong = error.detail if isinstance(error.detail, dict) else {}
            errors = [FieldError(f"?{name}", "invalid", " ".join(map(str, texts))) for name, texts in wrong.items()]
            raise Problem("validation-error", "A filter in the query makes no sense.", errors=errors) from None

    def get_object(self) -> Any:
        """Return the object of the path's id or slug, locked when it is about to be changed or deleted.

        Raises:
            Problem: there is none; or it is not the version that If-Match names.
        """
        reference = str(self.kwargs["id"])
        rows = self.get_queryset()
        if self.request.method in {"PATCH", "DELETE"}:
            rows = rows.select_for_update(of=("self",))
        found = rows.filter(self._reference(reference)).first() if reference.isprintable() else None
        if found is None:
            raise Problem("not-found", f"There is no {self.noun} {reference!r}.")
        self._check_version(found)
        return found

    def _reference(self, reference: str) -> Q:
        if is_id(reference, self.id_prefix):
            return Q(pk=reference)
        return Q(slug=reference) if self.has_slug else Q(pk__in=[])

    def _check_version(self, found: Model) -> None:
        given = self.request.headers.get("If-Match")
        if given and "*" not in (tags := parse_etags(given)) and self.etag(self.represent(found)) not in tags:
            raise Problem(
                "stale-version", f"This {self.noun} has changed since you read it. Read it again and repeat the change."
            )

    def represent(self, found: Any) -> dict[str, Any]:
        """Return what the API tells of an object."""
        return dict(self.get_serializer(found).data)

    def etag(self, representation: Mapping[str, Any]) -> str:
        """Return the name of this version of an object."""
        return f'"{hashlib.sha256(JSONRenderer().render(representation)).hexdigest()[:32]}"'

    def answer(self, found: Any, status: int = 200, **more: Any) -> Response:
        """Return an object with its version; `more` is told once, here."""
        representation = self.represent(found)
        return Response(representation | more, status=status, headers={"ETag": self.etag(representation)})


class Listing(Resource):
    """`GET` of the collection."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the objects that the filters let through."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        assert page is not None, "every list is paged"
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class Reading(Resource):
    """`GET` of one object."""

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one object."""
        return self.answer(self.get_object())


class Creating(Resource):
    """`POST` to the collection."""

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create an object."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return self.answer(self.create_object(dict(serializer.validated_data)), status=201)

    def create_object(self, values: dict[str, Any]) -> Any:
        """Create it through a service and return it."""
        raise NotImplementedError


class Patching(Resource):
    """`PATCH` of one object, by JSON merge patch."""

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change an object: null sets a field back to its default, what is not named stays."""
        found = self.get_object()
        if not isinstance(request.data, Mapping):
            raise ValidationError("A merge patch is a JSON object.", code="invalid")
        merged = merge_patch(self.represent(found), self.serializer_class.normalise(request.data))
        serializer = self.get_serializer(found, data=merged)
        serializer.is_valid(raise_exception=True)
        return self.answer(self.update_object(found, dict(serializer.validated_data)))

    def update_object(self, found: Any, values: dict[str, Any]) -> Any:
        """Change it through a service and return it."""
        raise NotImplementedError


class Deleting(Resource):
    """`DELETE` of one object."""

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete an object."""
        self.delete_object(self.get_object())
        return Response(status=204)

    def delete_object(self, found: Any) -> None:
        """Delete it through a service."""
        raise NotImplementedError
