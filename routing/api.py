"""DRF: /api/routing/rules, /api/routing/test, /api/transformers and trials of them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import msgspec
from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError as InvalidValue
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app.channel_checks import clean_transformers
from channels_app.engine.providers import PROVIDERS
from routing import services
from routing.engine.document import RuleSpec
from routing.engine.errors import GatewayError
from routing.engine.formats import CODECS, client_codec
from routing.engine.transformer import Chain
from routing.engine.transformers import TRANSFORMERS, chain_of
from routing.engine.trial import Trial, Tried, changes
from routing.filters import RuleFilter
from routing.models import RoutingRule
from routing.replay import Replayed, requests_replay
from routing.rule_checks import clean_rule
from routing.selectors import rules_all
from routing.serializers import (
    OrderSerializer,
    RehearsedSerializer,
    ReplayedSerializer,
    ReplaySerializer,
    RoutingTrialSerializer,
    RuleSerializer,
    TransformerSerializer,
    TrialSerializer,
    TriedSerializer,
)
from routing.simulation import UnknownPath, guessed_path, live_gateway, simulate, snapshot_now
from routing.snapshots import DoesNotCompile, compile_key
from tenants.engine.money import usd_text
from tenants.engine.principal import Principal
from tenants.problems import FieldError, Problem
from tenants.rest.paging import envelope
from tenants.rest.resources import Creating, Deleting, Listing, Patching, Reading, Resource
from tenants.selectors import key_named, principal_of_key

#: What parts the steps of a path such as `messages[0].content`.
_STEPS = re.compile(r"[.\[\]]+")
#: Which format a body is in, by a member that no other format has.
_MARKS = {"contents": "gemini", "input": "openai-responses", "max_tokens_to_sample": "anthropic", "system": "anthropic"}


class Rules(Listing, Reading, Creating, Patching, Deleting):
    """Routing rules: who answers, by what a request is about."""

    queryset = RoutingRule.objects.all()
    serializer_class = RuleSerializer
    filterset_class = RuleFilter
    noun = "rule"
    id_prefix = "rul"
    sort_fields = ("priority", "slug", "type", "created_at", "updated_at")
    default_sort = "-priority"
    pointers = {"is_enabled": "/enabled"}

    def get_queryset(self) -> QuerySet[RoutingRule]:
        """Return the tenant's rules."""
        return rules_all()

    def create_object(self, values: dict[str, Any]) -> RoutingRule:
        """Create a rule."""
        return services.rule_create(tenant_id=self.tenant_id, actor=self.caller.actor, **values)

    def update_object(self, found: RoutingRule, values: dict[str, Any]) -> RoutingRule:
        """Change a rule."""
        return services.rule_update(tenant_id=self.tenant_id, rule=found, actor=self.caller.actor, **values)

    def delete_object(self, found: RoutingRule) -> None:
        """Delete a rule."""
        services.rule_delete(tenant_id=self.tenant_id, rule=found, actor=self.caller.actor)

    @extend_schema(responses=OpenApiResponse(RuleSerializer(many=True)), filters=False)
    @action(detail=False, methods=["get"])
    def enabled(self, request: Request) -> Response:
        """Return the rules that are switched on, in the order in which they are looked at."""
        return self._all(rules_all().filter(is_enabled=True))

    @extend_schema(request=None, responses=RuleSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, id: str) -> Response:
        """Let a rule be looked at."""
        rule = self.get_object()
        return self.answer(services.rule_enable(tenant_id=self.tenant_id, rule=rule, actor=self.caller.actor))

    @extend_schema(request=None, responses=RuleSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, id: str) -> Response:
        """Keep a rule without looking at it."""
        rule = self.get_object()
        return self.answer(services.rule_disable(tenant_id=self.tenant_id, rule=rule, actor=self.caller.actor))

    @extend_schema(request=OrderSerializer, responses=OpenApiResponse(RuleSerializer(many=True)), filters=False)
    @action(detail=False, methods=["put"])
    def order(self, request: Request) -> Response:
        """Put all rules into an order; their priorities become tens, the first highest."""
        given = OrderSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        references = given.validated_data["ids"]
        return self._all(
            services.rules_reorder(tenant_id=self.tenant_id, references=references, actor=self.caller.actor)
        )

    def _all(self, rules: Iterable[RoutingRule]) -> Response:
        return Response(envelope(RuleSerializer(list(rules), many=True).data))


class Transformers(Resource):
    """Transformers and formats, from their registries, and trials of what they make of a body."""

    serializer_class = TransformerSerializer
    needs_tenant = False
    noun = "transformer"
    pagination_class = None
    filter_backends = ()

    def query_parameters(self) -> list[str]:
        """The list is short and comes whole."""
        return []

    def list(self, request: Request) -> Response:
        """Return every transformer and every format."""
        return Response(envelope([*map(_transformer, TRANSFORMERS), *map(_format, CODECS)]))

    @extend_schema(request=TrialSerializer, responses=TriedSerializer)
    @action(detail=False, methods=["post"])
    def test(self, request: Request) -> Response:
        """Translate a body without sending it anywhere: both bodies, what changed and what was lost."""
        given = TrialSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        try:
            return Response(_tried(values))
        except GatewayError as error:
            where = FieldError(_pointer(error, values), error.code, error.message)
            raise Problem("validation-error", error.message, errors=[where]) from error


class Routing(Resource):
    """Where a request would go, and why."""

    serializer_class = RoutingTrialSerializer
    noun = "routing"
    pagination_class = None
    filter_backends = ()

    @extend_schema(request=RoutingTrialSerializer, responses=RehearsedSerializer)
    @action(detail=False, methods=["post"])
    def test(self, request: Request) -> Response:
        """Run a request through the gateway's own steps up to its first try: nothing is sent, counted or recorded."""
        given = RoutingTrialSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        tenant = self.caller.tenant
        assert tenant is not None
        try:
            told = async_to_sync(simulate)(
                snapshot=snapshot_now(tenant=tenant),
                principal=_principal(tenant.pk, values.get("key", "")),
                gateway=live_gateway(request._request),
                path=values.get("path") or guessed_path(values["request"]),
                body=values["request"],
                headers=values.get("headers", {}),
                client_address=values.get("client_address", ""),
            )
        except UnknownPath as error:
            raise _wrong("path", str(error)) from None
        except DoesNotCompile as error:
            raise Problem("conflict", f"The present configuration is not usable: {error}") from None
        except GatewayError as error:
            where = FieldError(
                "/".join(["/request", *filter(None, _STEPS.split(error.param or ""))]), error.code, error.message
            )
            raise Problem("validation-error", error.message, errors=[where]) from error
        return Response(msgspec.to_builtins(told))

    @extend_schema(request=ReplaySerializer, responses=ReplayedSerializer)
    @action(detail=False, methods=["post"])
    def replay(self, request: Request) -> Response:
        """Judge recorded requests by draft rules: what would go elsewhere, and what it would have cost there."""
        given = ReplaySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        tenant = self.caller.tenant
        assert tenant is not None
        rules = None if values.get("rules") is None else [_draft(at, rule) for at, rule in enumerate(values["rules"])]
        try:
            found = requests_replay(
                tenant=tenant,
                rules=rules,
                since=values["since"],
                until=values.get("until") or timezone.now() + dt.timedelta(minutes=1),
                limit=values["limit"],
                after=values["after"],
            )
        except DoesNotCompile as error:
            raise Problem("conflict", f"The present configuration is not usable: {error}") from None
        except ValueError:
            raise _wrong("after", "This is not the `next` of an earlier step.") from None
        return Response(_replayed(found))


def _draft(at: int, given: dict[str, Any]) -> RuleSpec:
    """Return a draft as the gateways would have it; raises Problem with everything that is wrong about it."""
    serializer = RuleSerializer(data={"slug": f"draft-{at + 1}"} | RuleSerializer.normalise(given))
    try:
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        condition, targets = clean_rule(type=values["type"], condition=values["condition"], targets=values["targets"])
    except (ValidationError, InvalidValue) as error:
        raise _wrong(f"rules/{at}", " ".join(_texts(error))) from None
    return RuleSpec(
        slug=values["slug"],
        type=values["type"],
        condition=condition,
        targets=tuple(targets),
        priority=values["priority"],
        is_enabled=values["is_enabled"],
    )


def _texts(error: ValidationError | InvalidValue) -> list[str]:
    if isinstance(error, ValidationError):
        return error.messages
    return (
        [f"{name}: {' '.join(map(str, texts))}" for name, texts in error.detail.items()]
        if isinstance(error.detail, dict)
        else [str(error)]
    )


def _replayed(found: Replayed) -> dict[str, Any]:
    return {
        "looked_at": found.looked_at,
        "unknown": dict(found.unknown),
        "strategy": found.strategy,
        "stayed": found.stayed,
        "among_equals": found.among_equals,
        "moved": found.moved,
        "by_rule": dict(found.by_rule),
        "before_usd": usd_text(found.before_nano_usd),
        "after_usd": usd_text(found.after_nano_usd),
        "unpriced": found.unpriced,
        "requests": [
            asdict(each) | {"cost_before": _usd(each.cost_before), "cost_after": _usd(each.cost_after)}
            for each in found.shown
        ],
        "next": found.next,
    }


def _usd(nano_usd: int | None) -> str | None:
    return None if nano_usd is None else usd_text(nano_usd)


def _principal(tenant_id: str, key: str) -> Principal:
    """Return the key that a trial is for; without one, somebody who may do everything.

    Raises:
        DoesNotCompile: one of its limits is not usable.
    """
    if not key:
        return Principal(tenant_id=tenant_id, key_id="", key_slug="(none)")
    row = key_named(name=key)
    if row is None:
        raise _wrong("key", f"There is no key {key!r}.")
    return compile_key(principal=principal_of_key(key=row))


def _transformer(name: str) -> dict[str, Any]:
    transformer = TRANSFORMERS[name]
    schema = msgspec.json.schema(transformer.options)
    return {"name": name, "kind": "transformer", "summary": transformer.summary, "options": schema, "clients": False}


def _format(name: str) -> dict[str, Any]:
    speaks = "clients and upstreams" if client_codec(name) else "upstreams"
    return {
        "name": name,
        "kind": "format",
        "summary": f"Translated for {speaks}.",
        "options": None,
        "clients": client_codec(name) is not None,
    }


def _tried(values: dict[str, Any]) -> dict[str, Any]:
    request, response, stream = values.get("request"), values.get("response"), values.get("stream")
    if values.get("direction") == "response" and response is None and stream is None:
        request, response = None, request
    trial = _trial(values, request if isinstance(request, dict) else None)
    asked = None if request is None else msgspec.json.encode(request)
    if stream is not None:
        before, tried = stream, trial.stream([stream.encode()], asked)
    elif response is not None:
        before, tried = response, trial.answer(msgspec.json.encode(response), asked)
    elif asked is not None:
        is_stream = isinstance(request, dict) and request.get("stream") is True
        before, tried = request, trial.request(asked, is_stream=is_stream)
    else:
        raise _wrong("request", "Give a `request`, a `response` or a `stream`.")
    return _shown(before, tried)


def _shown(before: Any, tried: Tried) -> dict[str, Any]:
    differ = [change.shown() for change in changes(before, tried.body)] if not isinstance(before, str) else []
    lost = [code.removeprefix("dropped:") for code in tried.warnings if code.startswith("dropped:")]
    return {
        "input": before,
        "output": tried.body,
        "headers": tried.headers,
        "changes": differ,
        "warnings": list(tried.warnings),
        "lost": lost,
    }


def _trial(values: dict[str, Any], request: dict[str, Any] | None) -> Trial:
    model = values.get("model") or (request or {}).get("model") or "model"
    chain = _chain(values.get("transformer") or [], str(model))
    spoken = next((step.transformer.format for step in chain.steps if step.transformer.format), "")
    client = values.get("from") or _guess(request)
    upstream = values.get("to") or spoken or client
    for member, name in (("from", client), ("to", upstream)):
        if name not in CODECS:
            raise _wrong(member, f"There is no format `{name}`. There are: {', '.join(CODECS)}.")
    if client_codec(client) is None:
        raise _wrong("from", f"No client speaks `{client}`. Clients speak: {', '.join(filter(client_codec, CODECS))}.")
    provider = values.get("provider") or _inventor(upstream)
    if provider not in PROVIDERS:
        raise _wrong("provider", f"There is no provider `{provider}`. There are: {', '.join(PROVIDERS)}.")
    can = PROVIDERS[provider].capabilities_of(upstream, str(model))
    return Trial(client, upstream, str(model), provider, can, chain)


def _chain(given: Any, model: str) -> Chain:
    """Return the chain that a channel with these transformers has for a model."""
    is_nested = isinstance(given, dict) and "use" in given
    try:
        entries = clean_transformers(given if is_nested or isinstance(given, list) else [given])
    except ValidationError as error:
        raise ValidationError({"transformer": error.error_list}) from None
    return chain_of(entries, model)


def _pointer(error: GatewayError, values: dict[str, Any]) -> str:
    """Return where in the trial's body the wrong value stands; the engine names it by its path in the request."""
    if error.param == "body":
        return "/response" if "response" in values else "/request"
    return "/".join(["/request", *filter(None, _STEPS.split(error.param or ""))])


def _guess(request: dict[str, Any] | None) -> str:
    found = (name for mark, name in _MARKS.items() if request and mark in request)
    return next(found, "openai-chat")


def _inventor(name: str) -> str:
    """Return a provider that speaks a format: the one that invented it, where there is one."""
    speaking = [each for each in PROVIDERS if name in PROVIDERS[each].capabilities]
    # The inventor's own name is part of its format's, or the other way round.
    ranked = sorted(speaking, key=lambda each: (not PROVIDERS[each].is_genuine, not name.startswith(each), each))
    return ranked[0] if ranked else "echo"


def _wrong(member: str, text: str) -> Problem:
    return Problem("validation-error", text, errors=[FieldError(f"/{member}", "invalid", text)])
