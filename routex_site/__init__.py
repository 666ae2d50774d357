"""The site package: where the apps are wired together; holds no business logic."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _version() -> str:
    """Return the version from the first release heading of CHANGELOG.md: the changelog is the release."""
    for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            return line.removeprefix("## ").split()[0]
    raise RuntimeError("CHANGELOG.md has no release heading")


VERSION = _version()
