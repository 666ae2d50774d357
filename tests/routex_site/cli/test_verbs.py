"""The command line: what goes where, exit codes, and that nothing heavy is imported for a look at the help."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from routex_site import ROOT, VERSION
from routex_site.cli import requests, up
from routex_site.cli.__main__ import main
from routex_site.cli.doctor import CHECKS, examine
from routex_site.cli.doctor_checks import Finding, Patient, Skipped
from routing.selectors import aliases_by_name
from tenants.context import tenant_scope

KEY = "rtx_0123456789"


class Server(ThreadingHTTPServer):
    """A management API of a few canned answers, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: dict[str, tuple[int, object]] = {}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status, answer = self.server.answers.get(self.path.partition("?")[0], (404, {"detail": "nothing here"}))
        text = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_DELETE = do_GET  # noqa: N815 the names are the standard library's

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server(monkeypatch, tmp_path) -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("ROUTEX_URL", f"http://127.0.0.1:{found.server_port}")
        monkeypatch.setenv("ROUTEX_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        (tmp_path / "local-token").write_text("rtxm_local\n")
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def no_server(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("ROUTEX_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ROUTEX_DATA_DIR", str(tmp_path))
    return tmp_path


def test_help_imports_nothing_heavy():
    heavy = {"django", "rich", "celery", "psycopg", "psutil"}
    words = f"import sys, routex_site.cli.__main__; print(*sorted({heavy!r} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="the executable runs in .venv, which was not set up here")
def test_the_executable_works_from_any_folder(tmp_path):
    link = tmp_path / "routex"
    link.symlink_to(ROOT / "routex")
    done = subprocess.run([str(link), "version"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0 and done.stdout == f"routex {VERSION}\n"


def test_a_missing_environment_is_a_sentence(tmp_path):
    (tmp_path / "routex").write_bytes((ROOT / "routex").read_bytes())
    (tmp_path / "routex").chmod(0o755)
    done = subprocess.run([str(tmp_path / "routex")], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "make setup" in done.stderr and done.stdout == ""


def test_a_wrong_word_is_a_usage_error(capsys):
    assert main(["keys", "new"]) == 2
    assert main(["nonsense"]) == 2
    assert capsys.readouterr().out == ""


def test_a_new_key_alone_goes_to_standard_output(server, capsys):
    server.answers["/api/keys"] = (201, {"slug": "ci", "secret": KEY})
    assert main(["keys", "new", "ci", "--tenant", "acme", "--model", "gpt-*"]) == 0
    output = capsys.readouterr()
    assert output.out == f"{KEY}\n" and KEY not in output.err
    [(method, _, headers, body)] = server.asked
    assert (method, headers["x-routex-tenant"], headers["authorization"]) == ("POST", "acme", "Bearer rtxm_local")
    assert json.loads(body) == {"slug": "ci", "models": ["gpt-*"]}


def test_a_list_is_read_to_its_last_page_and_is_json_on_demand(server, capsys):
    rows = [{"slug": "ci\x1b[31m", "prefix": "rtx_AbCd", "last_four": "wxyz", "state": "active", "models": ["*"]}]
    server.answers["/api/keys"] = (200, {"data": rows, "has_more": False, "next_cursor": None})
    assert main(["keys", "ls"]) == 0
    text = capsys.readouterr().out
    assert "rtx_AbCd…wxyz" in text and "\x1b" not in text, "no control character of a name reaches the terminal"
    assert main(["keys", "ls", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows


@pytest.mark.parametrize(("status", "code"), [(400, 2), (401, 4), (403, 4), (404, 3), (409, 5), (502, 6), (500, 1)])
def test_a_refusal_is_passed_on_with_its_own_exit_code(server, capsys, status, code):
    server.answers["/api/keys"] = (
        status,
        {"detail": "No, because.", "errors": [{"pointer": "/slug", "detail": "bad"}]},
    )
    assert main(["keys", "new", "ci"]) == code
    output = capsys.readouterr()
    assert output.out == "" and "No, because." in output.err and "/slug: bad" in output.err


def test_revoking_asks_first(server, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["keys", "revoke", "ci"]) == 2 and "--yes" in capsys.readouterr().err
    assert server.asked == []
    server.answers["/api/keys/ci"] = (204, None)
    assert main(["keys", "revoke", "ci", "--yes"]) == 0
    assert server.asked[0][:2] == ("DELETE", "/api/keys/ci")


def test_without_an_install_the_next_command_is_named(no_server, capsys):
    assert main(["keys", "ls"]) == 1
    assert "./routex up" in capsys.readouterr().err
    assert main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "away"


def test_status_names_a_process_that_died(server, tmp_path, capsys):
    server.answers["/health"] = (200, {"status": "ok", "version": VERSION})
    children = [{"name": "web", "pid": os.getpid(), "created": 1.0}]
    (tmp_path / "run.json").write_text(json.dumps({"url": "http://x", "children": children}))
    assert main(["status", "--json"]) == 1
    [process] = json.loads(capsys.readouterr().out)["processes"]
    assert process["state"] == "gone", "another program has that number by now"


def test_tail_shows_each_request_once_and_ends_with_ctrl_c(server, capsys, monkeypatch):
    def row(number):
        return {"id": f"req_{number}", "started_at": f"2026-01-01T00:00:0{number}Z", "status": 200, "asked_model": "m"}

    looks = iter([[1, 2, 3], [2, 3, 4]])

    def look(_: float) -> None:
        numbers = next(looks, None)
        if numbers is None:
            raise KeyboardInterrupt
        server.answers["/api/requests"] = (200, {"data": [row(number) for number in numbers]})

    look(0)
    monkeypatch.setattr(requests.time, "sleep", look)
    assert main(["requests", "tail", "-n", "2", "--json"]) == 130
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["req_2", "req_3", "req_4"]


# --- the box


def box(**prepared) -> str:
    return "\n".join(up.box(url="http://h:1", data_dir=Path("/d"), prepared=prepared, made_keys={}, took_s=2.0))


def test_the_first_box_has_all_that_a_newcomer_needs():
    text = box(setup_token="rtxs_1", tenant_key=KEY, tenant="default")
    assert "http://h:1/setup/?token=rtxs_1" in text and "/d" in text and "Ctrl-C" in text
    curl = text.splitlines()[-1]
    assert curl.startswith("curl -sS http://h:1/v1/chat/completions") and f"Bearer {KEY}" in curl


def test_a_later_box_shows_no_key_and_says_how_to_get_one():
    text = box()
    assert "rtx_" not in text and "$ROUTEX_API_KEY" in text and "keys new" in text and "setup" not in text


def test_keys_that_nobody_watches_go_into_a_file_of_the_owners(tmp_path):
    path = up.keys_file({"acme/ci": KEY}, tmp_path)
    assert path.read_text() == f"acme/ci\t{KEY}\n" and path.stat().st_mode & 0o777 == 0o600


# --- prices


def test_prices_are_listed_with_their_kinds_as_columns(server, capsys):
    row = {"provider": "p", "model": "m", "rates": {"input": "1.00", "output": "2.00"}, "tiers": {"1000": {}}}
    server.answers["/api/prices"] = (200, {"data": [row | {"version": "book-1"}], "has_more": True})
    assert main(["prices", "ls", "m", "--provider", "p"]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[1].split("\t") == ["p", "m", "1.00", "2.00", "-", "-", "above 1000", "book-1"]
    assert "name a model" in output.err
    assert server.asked[0][1] == "/api/prices?model=m&provider=p"


def test_requests_are_rated_again_step_by_step_for_every_tenant(server, capsys):
    counts = {"looked_at": 2, "changed": 1, "unpriced": 0, "before_usd": "0.10", "after_usd": "0.000000001"}
    server.answers["/api/tenants"] = (200, {"data": [{"slug": "acme"}], "has_more": False})
    server.answers["/api/prices/rerate"] = (200, counts | {"next": "", "version": "book-1"})
    assert main(["prices", "rerate", "--since", "2026-01-31", "--dry-run", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row == {
        "tenant": "acme", "looked_at": 2, "changed": 1, "unpriced": 0,
        "before_usd": "0.10", "after_usd": "0.000000001", "difference_usd": "-0.099999999",
    }  # fmt: skip
    method, _, headers, body = server.asked[-1]
    assert (method, headers["x-routex-tenant"]) == ("POST", "acme")
    assert json.loads(body) == {"since": "2026-01-31T00:00:00Z", "version": "", "dry_run": True, "after": ""}


# --- the configuration, on the database itself


@pytest.fixture
def document(tmp_path) -> Path:
    path = tmp_path / "routex.yaml"
    path.write_text("apiVersion: routex/v1\ntenants: [{slug: acme, aliases: {smart: gpt}}, {slug: rival}]")
    return path


@pytest.mark.django_db
def test_export_is_data_on_standard_output(cast, capsys, tmp_path):
    assert main(["config", "export", "--tenant", "acme"]) == 0
    text = capsys.readouterr().out
    assert [tenant["slug"] for tenant in yaml.safe_load(text)["tenants"]] == ["acme"]
    assert main(["config", "export", "-t", "acme", "-o", str(tmp_path / "out.yaml")]) == 0
    assert (tmp_path / "out.yaml").read_text() == text
    assert main(["config", "export", "-t", "nobody"]) == 3


@pytest.mark.django_db
def test_diff_and_dry_run_tell_and_import_does(cast, capsys, document):
    assert main(["config", "diff", str(document)]) == 1
    assert capsys.readouterr().out == "+ alias acme/alias/smart\n"
    assert main(["config", "import", str(document), "--dry-run"]) == 0
    with tenant_scope(cast.acme.id):
        assert aliases_by_name() == {}
    capsys.readouterr()
    assert main(["config", "import", str(document), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["created"] == 1
    assert main(["config", "diff", str(document)]) == 0


@pytest.mark.django_db
def test_only_the_named_tenant_is_imported(cast, document):
    assert main(["config", "import", str(document), "--tenant", "rival"]) == 0
    with tenant_scope(cast.acme.id):
        assert aliases_by_name() == {}
    assert main(["config", "import", str(document), "--tenant", "nobody"]) == 1


@pytest.mark.django_db
def test_a_wrong_document_is_named_line_by_line(cast, capsys, document):
    document.write_text("apiVersion: routex/v1\ntenants:\n  - slug: acme\n    nmae: x\n")
    assert main(["config", "validate", str(document)]) == 1
    output = capsys.readouterr()
    assert output.out == "" and "line 4, /tenants/0/nmae" in output.err
    assert main(["config", "validate", str(document.with_name("none.yaml"))]) == 2


@pytest.mark.django_db
def test_keys_that_an_import_makes_never_reach_a_pipe(cast, capsys, document, monkeypatch, tmp_path):
    monkeypatch.setenv("ROUTEX_DATA_DIR", str(tmp_path))
    document.write_text("apiVersion: routex/v1\ntenants: [{slug: acme, keys: [{slug: fresh}]}]")
    assert main(["config", "import", str(document), "--json"]) == 0
    output = capsys.readouterr()
    [path] = tmp_path.glob("new-keys-*.txt")
    secret = path.read_text().split()[1]
    assert secret.startswith("rtx_") and secret not in output.out + output.err
    assert json.loads(output.out)["made_keys"] == ["acme/fresh"]


# --- doctor


def test_a_finding_names_the_reason_and_the_next_step():
    def wrong(patient: Patient) -> str:
        raise Finding("it is broken", "mend it")

    def blind(patient: Patient) -> str:
        raise Skipped("nothing to look at")

    assert (examine("a", wrong, Patient()).is_ok, examine("b", blind, Patient()).is_ok) == (False, None)
    assert examine("a", wrong, Patient()).next_step == "mend it"


@pytest.mark.django_db
def test_doctor_looks_at_the_real_install_and_fails_when_nothing_answers(cast, no_server, capsys):
    assert len(CHECKS) >= 12
    assert main(["doctor", "--json"]) == 1
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert len(found) == len(CHECKS)
    for name in ("PostgreSQL answers", "the database role is held by row policies", "stored credentials can be opened",
                 "the database has this version's tables", "the data folder is there and private"):  # fmt: skip
        assert found[name]["is_ok"], found[name]
    assert found["the port is Routex's"]["is_ok"] is False and found["the port is Routex's"]["next_step"]
    assert all(check["detail"] for check in found.values())
