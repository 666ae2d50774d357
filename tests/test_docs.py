"""Documentation that fails the build when it no longer tells the truth."""

import re
from pathlib import Path

import pytest

from routex_site import ROOT, VERSION
from routex_site.settings import env
from tests import generated_docs
from tests.wire import matrix

ROOMS = ("routex_site", "tenants", "channels_app", "analytics", "routing", "docs", "tests", "bench")
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(document: Path):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("document", ["docs/architecture.md", "docs/adding.md", "CONTRIBUTING.md"])
def test_every_path_in_code_marks_exists(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w/.]+)`", text))
    assert named, "the pattern found nothing to check"
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_variable_has_its_row():
    source = Path(env.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', source)) - {"PORT"}
    rows = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs/configuration.md").read_text(encoding="utf-8")))
    assert len(read) > 15
    assert read - rows == set()


@pytest.mark.parametrize(("document", "name"), generated_docs.PARTS)
def test_what_follows_from_a_registry_is_fresh(document: str, name: str):
    text = (ROOT / document).read_text(encoding="utf-8")
    assert text == generated_docs.fresh(document, name), "stale: run make docs"


def test_every_decision_is_numbered_once():
    numbers = [path.name[:4] for path in sorted((ROOT / "docs/adr").glob("*.md"))]
    assert len(numbers) == len(set(numbers))


def test_the_version_is_the_changelogs_first_heading():
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_the_page_of_translations_says_what_the_engine_does():
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.page(), "stale: run make docs"
