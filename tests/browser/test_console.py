"""The console in a real browser, against a real server process, PostgreSQL and Valkey."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.db import connection
from playwright.sync_api import expect

from analytics.engine.live_feed import LivePublisher
from analytics.engine.record import Usage
from analytics.engine.sink import RecordSink
from channels_app.models import Channel
from channels_app.services import channel_create
from tenants.context import platform_scope, tenant_scope
from tenants.models import GatewayKey, User
from tenants.services import FIRST_TENANT, setup_token_issue, tenant_create
from tests.conftest import PASSWORD
from tests.console.conftest import database_url, make_record

ROWS = '[data-testid="row"]'
SCREENSHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture
def gateway_writes(aside, stored, tmp_path):
    """Finish requests as a gateway process does: into the database, and said on Valkey."""

    def write(*records) -> None:
        async def run() -> None:
            publisher = LivePublisher(settings.REDIS_URL)
            sink = RecordSink(conninfo=database_url(), spill_folder=tmp_path / "spill", publisher=publisher)
            await sink.start()
            for record in records:
                sink.put(record)
            while sink.state.written < len(records):
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)  # the publisher sends after the write
            await sink.close()

        asyncio.run(run())

    def store_and_forget_later(*records) -> None:
        aside(write, *records)
        aside(stored.remember, *records)

    return store_and_forget_later


@pytest.fixture
def echo_channel(cast, aside):
    """A channel of Acme's that answers without a network."""

    def make() -> None:
        with tenant_scope(cast.acme.id):
            channel_create(tenant_id=cast.acme.id, slug="echo", provider="echo", served_models=["echo"])

    def remove() -> None:
        with tenant_scope(cast.acme.id):
            Channel.objects.all().delete()

    aside(make)
    yield
    aside(remove)


def now_record(cast, number: int = 0, **given):
    """Return a record of a request that started just now."""
    started_us = time.time_ns() // 1000 + number
    return make_record(cast.acme.id, started_us=started_us, finished_us=started_us + 900_000, **given)


def ids(page) -> list[str]:
    return page.eval_on_selector_all(ROWS, "rows => rows.map(row => row.dataset.id)")


def wait_until_live(page) -> None:
    expect(page.get_by_test_id("live")).to_have_attribute("data-live", "on")


def test_a_wrong_password_is_said_and_the_right_one_leads_on(cast, open_page):
    page = open_page()
    page.goto("/t/acme/requests/")
    page.fill("#id_login", "bob@example.com")
    page.fill("#id_password", "not his password")
    page.click("main button")
    expect(page.get_by_role("alert")).to_contain_text("not correct")
    # What was typed stays, and the password field has the focus.
    assert page.input_value("#id_login") == "bob@example.com"
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/t/acme/requests/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login/")


def test_the_setup_link_makes_the_first_administrator_once(cast, open_page, aside):
    def prepare() -> str:
        tenant_create(slug=FIRST_TENANT, name="Default")
        return setup_token_issue()

    def clean_up() -> None:
        with platform_scope(), connection.cursor() as cursor:
            cursor.execute("SELECT schema_name FROM tenants_tenant WHERE slug = %s", [FIRST_TENANT])
            for (schema,) in cursor.fetchall():
                cursor.execute(f'DROP SCHEMA "{schema}" CASCADE')
            cursor.execute(
                "DELETE FROM tenants_membership USING tenants_tenant t WHERE tenant_id = t.id AND slug = %s",
                [FIRST_TENANT],
            )
            for table in ("auditevent", "configstate"):
                cursor.execute(
                    f"DELETE FROM tenants_{table} USING tenants_tenant t WHERE tenant_id = t.id AND slug = %s",
                    [FIRST_TENANT],
                )
            cursor.execute("DELETE FROM tenants_tenant WHERE slug = %s", [FIRST_TENANT])
            User.objects.filter(email="first@example.com").delete()

    token = aside(prepare)
    try:
        page = open_page()
        page.goto(f"/setup/?token={token}")
        page.fill("#email", "first@example.com")
        page.fill("#password", "a long enough phrase")
        page.click("main button")
        page.wait_for_url(f"**/t/{FIRST_TENANT}/requests/")
        expect(page.locator("main")).to_have_attribute("data-state", "empty")
        expect(page.get_by_role("link", name="Add a channel")).to_be_visible()
        page.goto(f"/setup/?token={token}")
        expect(page.get_by_role("alert")).to_contain_text("has an administrator already")
    finally:
        aside(clean_up)


def test_the_list_fits_every_width_in_both_themes(cast, signed_in, gateway_writes):
    gateway_writes(
        now_record(cast, 1, usage=Usage(input_tokens=12_345, output_tokens=678), is_stream=True, first_token_ms=212.0),
        now_record(cast, 2, status=502, outcome="failed", error_code="upstream_error", total_ms=61_000.0),
        now_record(cast, 3, status=429, outcome="refused", asked_model="a-model-with-a-very-long-name/" + "x" * 60),
        now_record(cast, 4, status=499, outcome="gone"),
    )
    page = signed_in()
    SCREENSHOTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1280, 768, 360, 320):
            page.set_viewport_size({"width": width, "height": 740})
            expect(page.locator(ROWS)).to_have_count(4)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.screenshot(path=SCREENSHOTS / f"requests-{scheme}-{width}.png")
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")


def test_the_theme_button_changes_the_page_without_script(cast, signed_in):
    page = signed_in(java_script_enabled=False)
    page.get_by_role("button", name="Dark").click()
    page.wait_for_url("**/t/acme/requests/")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_request_through_the_gateway_appears_by_itself_and_reads_the_same_after_loading(
    cast, server, signed_in, echo_channel, aside, stored
):
    page = signed_in()
    wait_until_live(page)
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {cast.acme_key}"},
        json={"model": "echo", "messages": [{"role": "user", "content": "hello there"}]},
    )
    assert answer.status_code == 200, answer.text
    request_id = answer.headers["x-request-id"]
    row = page.locator(f'{ROWS}[data-id="{request_id}"]')
    expect(row).to_be_visible()
    written_here = row.inner_text()
    page.reload()
    assert row.inner_text() == written_here
    expect(row).to_contain_text("Answered")
    row.get_by_role("link").click()
    expect(page.locator("#request-id")).to_have_text(request_id)
    aside(stored.remember, make_record(cast.acme.id))


def test_rows_wait_under_the_hand_and_the_pill_brings_them(cast, signed_in, gateway_writes):
    gateway_writes(now_record(cast))
    page = signed_in()
    wait_until_live(page)
    page.hover(ROWS)
    gateway_writes(now_record(cast, 1), now_record(cast, 2, outcome="failed", status=502))
    expect(page.locator("#pill")).to_have_text("2 new")
    assert len(ids(page)) == 1
    page.mouse.move(5, 5)
    expect(page.locator(ROWS)).to_have_count(3)

    page.get_by_role("button", name="Pause").click()
    gateway_writes(now_record(cast, 3))
    expect(page.locator("#pill")).to_have_text("1 new")
    page.locator("#pill").click()
    expect(page.locator(ROWS)).to_have_count(4)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()

    page.locator(f"{ROWS} a").first.focus()
    gateway_writes(now_record(cast, 4))
    expect(page.locator("#pill")).to_have_text("1 new")
    page.keyboard.press("Escape")
    expect(page.locator(ROWS)).to_have_count(5)
    assert page.get_by_test_id("count").inner_text() == "5"


def test_live_rows_keep_to_the_filter_and_to_the_order(cast, signed_in, gateway_writes):
    old = now_record(cast, -60_000_000, status=500, outcome="failed")
    gateway_writes(now_record(cast, -1, status=502, outcome="failed"))
    page = signed_in(path="/t/acme/requests/?status=5")
    wait_until_live(page)
    new = now_record(cast, 5, status=503, outcome="failed")
    gateway_writes(new, old, now_record(cast, 6))
    expect(page.locator(ROWS)).to_have_count(3)
    assert (ids(page)[0], ids(page)[-1]) == (new.id, old.id)


def test_a_killed_server_leaves_no_gap_and_no_double(cast, server, signed_in, gateway_writes):
    before = [now_record(cast, number) for number in range(3)]
    gateway_writes(*before)
    page = signed_in()
    wait_until_live(page)
    server.kill()
    try:
        expect(page.get_by_test_id("live")).to_have_attribute("data-live", "reconnecting")
        meanwhile = [now_record(cast, 100 + number) for number in range(5)]
        gateway_writes(*meanwhile)
    finally:
        server.start()
    expect(page.get_by_test_id("live")).to_have_attribute("data-live", "on", timeout=30_000)
    after = now_record(cast, 200)
    gateway_writes(after)
    wanted = [record.id for record in reversed([*before, *meanwhile, after])]
    expect(page.locator(ROWS)).to_have_count(len(wanted))
    assert ids(page) == wanted


def test_signed_out_elsewhere_the_page_says_so_and_stops_asking(cast, signed_in):
    page = signed_in()
    # The page keeps its socket to itself; remember it, so that it can be cut.
    page.add_init_script(
        "const Socket = WebSocket;"
        "window.WebSocket = class extends Socket { constructor(url) { super(url); window.cut = () => this.close(); } };"
    )
    page.reload()
    wait_until_live(page)
    page.context.clear_cookies()
    page.evaluate("cut()")
    expect(page.get_by_test_id("live")).to_have_attribute("data-live", "off")
    expect(page.get_by_test_id("live")).to_contain_text("load the page again")


def test_the_list_reads_filters_and_pages_without_script(cast, signed_in, gateway_writes):
    gateway_writes(*(now_record(cast, number, status=500 if number % 2 else 200) for number in range(60)))
    page = signed_in(java_script_enabled=False)
    expect(page.locator(ROWS)).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(ROWS)).to_have_count(10)
    page.get_by_label("Status", exact=True).select_option("5")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(ROWS)).to_have_count(30)
    assert "status=5" in page.url


def test_the_keyboard_reaches_everything(cast, signed_in, gateway_writes):
    records = [now_record(cast, number) for number in range(3)]
    gateway_writes(*records)
    page = signed_in()
    wait_until_live(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#main"
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "f-status"
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page.locator("#request-id")).to_have_text(records[1].id)
    page.goto("/preferences/")
    page.get_by_role("button", name="Off").click()
    page.goto("/t/acme/requests/")
    wait_until_live(page)
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_the_admin_works_in_its_policy_and_shows_a_key_once(cast, signed_in, aside):
    page = signed_in(path="/t/acme/admin/")
    page.get_by_role("link", name="Keys").first.click()
    page.wait_for_url("**/gatewaykey/")
    page.goto("/t/acme/admin/tenants/gatewaykey/add/")
    page.fill("#id_slug", "from-browser")
    page.get_by_role("button", name="Save", exact=True).click()
    secret = page.get_by_test_id("secret")
    expect(secret).to_contain_text("rtx_")
    text = secret.inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.get_by_role("link", name="back to the list").click()
    page.get_by_role("link", name="from-browser").click()
    expect(page.locator("#id_slug")).to_have_value("from-browser")
    assert text not in page.content()
    page.goto("/t/acme/admin/channels_app/channel/add/")
    page.get_by_role("link", name="Add another Credential").or_(page.get_by_text("Add another")).first.click()

    def remove() -> None:
        with tenant_scope(cast.acme.id):
            GatewayKey.objects.filter(slug="from-browser").delete()

    aside(remove)
