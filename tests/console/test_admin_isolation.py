"""No admin URL shows or changes anything of another tenant, whoever asks; pages are enumerated, not listed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver

from channels_app.models import ChannelHealth
from channels_app.services import channel_create
from routing.models import ConfigBackup, ModelAlias, ModelFallback, RoutingPolicy, RoutingRule
from tenants.admin_sites import platform_site, tenant_site
from tenants.context import tenant_scope
from tenants.models import AuditEvent, GatewayKey, KeyState, Membership
from tenants.services import audit_record, key_issue, limit_set, membership_set, quota_set, token_issue, user_create
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

#: Stands in everything of Rival's that a page could show.
MARK = "xrivalx"


def patterns(urls, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield every URL pattern of a site with its path."""
    for entry in urls:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns, path)
        else:
            yield path, entry


def paths_of(site, pk_of) -> list[str]:
    """Return a concrete path for each page of a site; `pk_of(model)` fills in which object."""
    paths = []
    for path, entry in patterns(site.get_urls()):
        model_admin = getattr(entry.callback, "model_admin", None)
        pk = pk_of(model_admin.model) if model_admin else "1"
        path = path.replace("<path:object_id>", str(pk).replace("_", "_5F")).replace("\\Z", "").replace("$", "")
        if path.startswith("^"):  # the list of one app's models
            paths += [f"{app}/" for app in ("channels_app", "routing", "tenants")]
        elif "(?P<url>" not in path:
            paths.append(path)
    return paths


@pytest.fixture
def rival_rows(cast) -> dict[type, str]:
    """Make one of everything for Rival; model → primary key."""
    with tenant_scope(cast.rival.id):
        member = user_create(email=f"{MARK}@example.com", password=PASSWORD)
        tenant_id = cast.rival.id
        channel = channel_create(tenant_id=tenant_id, slug=f"{MARK}-echo", provider="echo", served_models=[MARK])
        rows = [
            channel,
            ChannelHealth.objects.create(channel=channel, is_up=False, detail=MARK),
            ModelAlias.objects.create(name=f"{MARK}-alias", target=MARK),
            ModelFallback.objects.create(model=f"{MARK}-model", fallbacks=[MARK]),
            RoutingPolicy.objects.create(),
            RoutingRule.objects.create(
                slug=f"{MARK}-rule", type="default", targets=[{"model": MARK}], description=MARK
            ),
            ConfigBackup.objects.create(document=MARK, reason=MARK),
            key_issue(tenant_id=tenant_id, slug=f"{MARK}-key")[0],
            token_issue(tenant_id=tenant_id, slug=f"{MARK}-token")[0],
            limit_set(tenant_id=tenant_id, kind="requests", limit=77_001),
            quota_set(tenant_id=tenant_id, kind="tokens", amount=77_002),
            membership_set(tenant_id=tenant_id, user=member, role="operator"),
            audit_record(tenant_id=tenant_id, actor=f"{MARK}@example.com", action="x.made", target=channel),
        ]
    return {type(row): row.pk for row in rows}


@pytest.fixture
def root_of_acme(cast):
    """A platform administrator who is a member of Acme only."""
    user = user_create(email="root@example.com", password=PASSWORD, is_platform_admin=True)
    with tenant_scope(cast.acme.id):
        membership_set(tenant_id=cast.acme.id, user=user, role="admin")
    return user


def test_the_fixture_covers_every_model_of_the_tenant_site(rival_rows):
    assert set(rival_rows) == set(tenant_site._registry)


def test_its_own_members_see_what_the_other_tests_look_for(cast, rival_rows, at_console):
    charlie = at_console(cast.charlie)
    seen = [
        path
        for path in paths_of(tenant_site, rival_rows.__getitem__)
        if MARK in charlie.get(f"/t/rival/admin/{path}", follow=True).content.decode()
    ]
    assert len(seen) > 3 * len(rival_rows)


@pytest.mark.parametrize("who", ["alice", "root"])
def test_no_page_of_one_tenant_shows_another(cast, rival_rows, root_of_acme, at_console, who):
    client = at_console(cast.alice if who == "alice" else root_of_acme)
    for path in paths_of(tenant_site, rival_rows.__getitem__):
        is_search = path in {"", "search/"} or path.count("/") == 2
        for query in ("", f"?q={MARK[:-1]}&s={MARK[:-1]}&extended=1") if is_search else ("",):
            answer = client.get(f"/t/acme/admin/{path}{query}", follow=True)
            text = answer.content.decode().replace(f"{MARK}-alias", "").replace(f"{MARK}-model", "")  # asked for by id
            assert answer.status_code in {200, 403, 404, 405}, path
            assert MARK not in text, (path, query)
            assert "77001" not in text, (path, query)
            assert "77002" not in text, (path, query)


@pytest.mark.parametrize("who", ["alice", "root"])
def test_no_page_of_one_tenant_changes_another(cast, rival_rows, root_of_acme, at_console, who):
    client = at_console(cast.alice if who == "alice" else root_of_acme)
    for path in paths_of(tenant_site, rival_rows.__getitem__):
        if path.endswith(("logout/", "login/")):
            continue
        client.post(f"/t/acme/admin/{path}", {"post": "yes", "slug": "taken-over", "role": "viewer", "name": "n"})
    for model in (GatewayKey, Membership):
        name = model._meta.model_name
        for action in ("revoke", "delete_selected"):
            client.post(
                f"/t/acme/admin/tenants/{name}/",
                {"action": action, "_selected_action": rival_rows[model], "post": "yes", "index": "0"},
            )
    with tenant_scope(cast.rival.id):
        for model, pk in rival_rows.items():
            assert model.objects.filter(pk=pk).exists(), model
        assert GatewayKey.objects.get(pk=rival_rows[GatewayKey]).state == KeyState.ACTIVE
        assert GatewayKey.objects.filter(slug="taken-over").count() == 0


def test_autocompletion_offers_nobody_of_another_tenant(cast, rival_rows, at_console):
    client = at_console(cast.alice)
    for model in tenant_site._registry:
        for field in model._meta.get_fields():
            query = f"app_label={model._meta.app_label}&model_name={model._meta.model_name}&field_name={field.name}"
            answer = client.get(f"/t/acme/admin/autocomplete/?term=&{query}")
            # The channel of a health check may be filtered by; nothing else of Rival's, above all no person.
            assert answer.status_code in {403, 404} or field.name == "channel", field
            assert MARK not in answer.content.decode()


def test_a_list_cannot_be_searched_through_a_relation(cast, at_console):
    for query in ("user__password__startswith=a", "tenant__slug=rival", "user__memberships__tenant__slug=rival"):
        answer = at_console(cast.alice).get(f"/t/acme/admin/tenants/membership/?{query}")
        assert answer.status_code in {302, 400}, query


@pytest.mark.parametrize("path", ["", "tenants/gatewaykey/", "channels_app/channel/add/"])
def test_an_outsider_gets_the_same_answer_as_for_a_tenant_that_is_none(cast, at_console, path):
    charlie = at_console(cast.charlie)
    theirs, nobodys = charlie.get(f"/t/acme/admin/{path}"), charlie.get(f"/t/nobody/admin/{path}")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.content == nobodys.content


def test_a_platform_administrator_who_is_no_member_gets_404(cast, at_console):
    root = user_create(email="root2@example.com", password=PASSWORD, is_platform_admin=True)
    assert at_console(root).get("/t/acme/admin/").status_code == 404
    assert at_console(root).get("/admin/").status_code == 200


def test_the_platform_site_is_closed_to_everybody_else(cast, at_console):
    for path in paths_of(platform_site, lambda model: "1"):
        answer = at_console(cast.alice).get(f"/admin/{path}", follow=True)
        assert answer.status_code in {403, 404} or answer.redirect_chain[-1][0] == "/login/", path
        assert "charlie@example.com" not in answer.content.decode()


def test_a_viewer_may_look_at_everything_and_change_nothing(cast, at_console):
    with tenant_scope(cast.acme.id):
        key = key_issue(tenant_id=cast.acme.id, slug="looked-at")[0]
        before = AuditEvent.objects.count()
    bob = at_console(cast.bob)
    for path in paths_of(tenant_site, lambda model: key.pk if model is GatewayKey else "1"):
        if path.endswith(("logout/", "login/")):
            continue
        assert bob.get(f"/t/acme/admin/{path}", follow=True).status_code in {200, 403, 404}, path
        bob.post(f"/t/acme/admin/{path}", {"post": "yes", "slug": "by-bob", "name": "by-bob", "target": "x"})
    bob.post("/t/acme/admin/tenants/gatewaykey/", {"action": "revoke", "_selected_action": key.pk, "index": "0"})
    with tenant_scope(cast.acme.id):
        assert AuditEvent.objects.count() == before
        assert GatewayKey.objects.get(pk=key.pk).state == KeyState.ACTIVE
        assert bob.get(f"/t/acme/admin/tenants/gatewaykey/{key.pk}/change/").status_code == 200


def test_an_operator_changes_routing_but_not_keys(cast, at_console):
    with tenant_scope(cast.acme.id):
        dora = user_create(email="dora@example.com", password=PASSWORD)
        membership_set(tenant_id=cast.acme.id, user=dora, role="operator")
    client = at_console(dora)
    client.post("/t/acme/admin/routing/modelalias/add/", {"name": "quick", "target": "echo"})
    assert client.get("/t/acme/admin/tenants/gatewaykey/add/").status_code == 403
    with tenant_scope(cast.acme.id):
        assert ModelAlias.objects.filter(name="quick").exists()
