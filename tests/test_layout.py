"""The house keeps its shape: registries match their folders, and vendors stay in their own files."""

import re
from pathlib import Path

import pytest

from channels_app.engine.providers import PROVIDERS
from routex_site import ROOT
from routing.engine.formats import CODECS, EMBEDDINGS, FORMATS, RERANKS
from routing.engine.strategies import STRATEGIES

REGISTRIES = {
    "channels_app/engine/providers": (PROVIDERS,),
    "routing/engine/formats": (FORMATS, CODECS, EMBEDDINGS, RERANKS),
    "routing/engine/strategies": (STRATEGIES,),
}
APPS = ("routex_site", "tenants", "channels_app", "analytics", "routing")
VENDORS = re.compile(r"openai|anthropic|gemini", re.IGNORECASE)
#: Where a vendor's name belongs: its own file and its registry, what tells foreign keys apart, what reads a vendor's
#: environment variables, and what takes the names of older configurations.
VENDOR_ROOMS = (
    "channels_app/engine/providers/",
    "routing/engine/formats/",
    "routing/engine/openai_shape.py",
    "tenants/engine/keys.py",
    "routex_site/bootstrap/",
    "channels_app/channel_document.py",
    "channels_app/engine/capabilities.py",
    "channels_app/engine/operations.py",
    "channels_app/engine/profiles.py",
    "routing/engine/tokens.py",
    "routing/engine/estimate.py",
    "routing/api.py",  # guesses a body's format
    "routing/engine/transformers/",
    "routing/engine/body.py",  # tells a caller whose kind of body they sent
)


def sources() -> list[Path]:
    return [p for app in APPS for p in sorted((ROOT / app).rglob("*.py")) if "migrations" not in p.parts]


@pytest.mark.parametrize("folder", REGISTRIES)
def test_every_entry_can_be_made_and_every_file_has_its_line(folder):
    package = folder.replace("/", ".") + "."
    made = {
        type(registry[name]).__module__.removeprefix(package).partition(".")[0]
        for registry in REGISTRIES[folder]
        for name in registry
    }
    files, folders = (ROOT / folder).glob("*.py"), (ROOT / folder).glob("*/__init__.py")
    there = {path.stem for path in files} | {path.parent.name for path in folders}
    assert there - {"__init__", "__pycache__"} == made


def test_there_is_no_room_without_a_name():
    unnamed = {"utils", "util", "helpers", "common", "core", "misc"}
    assert [p for p in sources() if p.stem in unnamed or p.parent.name in unnamed] == []


def test_every_module_says_in_a_sentence_what_it_is():
    silent = [p for p in sources() if (text := p.read_text()).strip() and not text.lstrip().startswith('"""')]
    assert silent == []


def test_vendor_names_stay_in_their_rooms():
    strays = []
    for path in sources():
        name = str(path.relative_to(ROOT))
        if name.startswith(VENDOR_ROOMS):
            continue
        code = re.sub(r'"""[\s\S]*?"""|#[^\n]*', "", path.read_text())
        strays += [f"{name}: {line.strip()}" for line in code.splitlines() if VENDORS.search(line)]
    assert strays == []
