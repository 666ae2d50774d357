"""Fixtures of the embedded servers' and the supervisor's tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from routex_site.embedded import postgres, valkey

from .processes import Up, new_folder, starter, stop_started


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data folder; a server that a failing test leaves on it is stopped."""
    folder = new_folder()
    yield folder
    for left in (postgres.running(folder), valkey.running(folder)):
        if left:
            left.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data folder on which PostgreSQL ran once; copied, never used itself."""
    folder = new_folder()
    postgres.start(folder).stop()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def made_dir(template: Path, data_dir: Path) -> Path:
    """A data folder on which PostgreSQL ran before: a copy, which is quicker than making one each time."""
    return Path(shutil.copytree(template, data_dir, dirs_exist_ok=True))


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start `supervised.py`; what still runs at the end of the test is stopped."""
    started: list[Up] = []
    yield starter(tmp_path, started)
    stop_started(started)
