"""Spill files: order, bounds, half lines, and the files of processes that died."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from analytics.engine import spill as spill_module
from analytics.engine.spill import Spill


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spill"


def read_all(spill: Spill) -> list[str]:
    found: list[str] = []
    while records := spill.read():
        found += [record.id for record in records]
        spill.done()
    return found


def test_records_are_read_in_the_order_in_which_they_were_written(folder, make_record):
    spill = Spill(folder)
    records = [make_record() for _ in range(1500)]
    assert spill.append(records[:700]) == 700
    assert spill.append(records[700:]) == 800
    assert read_all(spill) == [record.id for record in records]
    assert spill.is_empty
    assert list(folder.iterdir()) == []


def test_a_record_comes_back_whole(folder, make_record):
    spill = Spill(folder)
    record = make_record(error_message='a "quoted"\nline')
    spill.append([record])
    assert spill.read() == [record]


def test_what_was_read_but_not_stored_is_read_again(folder, make_record):
    spill = Spill(folder)
    record = make_record()
    spill.append([record])
    assert spill.read() == spill.read() == [record]


def test_records_past_the_limit_are_not_taken(folder, make_record):
    spill = Spill(folder, limit_bytes=2000)
    taken = spill.append([make_record() for _ in range(10)])
    assert 0 < taken < 10
    assert spill.size_bytes <= 2000
    assert spill.append([make_record()]) == 0


def test_reading_makes_room_again_and_frees_the_disk(folder, make_record, monkeypatch):
    monkeypatch.setattr(spill_module, "FILE_BYTES", 2000)
    spill = Spill(folder, limit_bytes=20_000)
    while spill.append([make_record()]):
        pass
    assert len(list(folder.iterdir())) > 5
    spill.read()
    spill.done()
    assert spill.append([make_record()]) == 1
    assert sum(path.stat().st_size for path in folder.iterdir()) < 20_000


def test_files_are_private(folder, make_record):
    Spill(folder).append([make_record()])
    [path] = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_file_of_a_living_process_is_left_alone(folder, make_record):
    owner, other = Spill(folder), Spill(folder)
    owner.append([make_record()])
    assert other.adopt() == 0
    assert other.is_empty


def test_the_file_of_a_dead_process_is_taken_over_oldest_first(folder, make_record):
    first, second = make_record(), make_record()
    for record in (first, second):
        dying = Spill(folder)
        dying.append([record])
        dying.close()  # lets go of the lock, as the end of a process does
    heir = Spill(folder)
    assert heir.adopt() > 0
    own = make_record()
    heir.append([own])
    assert read_all(heir) == [first.id, second.id, own.id]
    assert list(folder.iterdir()) == []


def test_a_process_that_is_killed_leaves_what_it_wrote(folder):
    script = (
        "import sys, os, signal; from pathlib import Path; from analytics.engine.spill import Spill;"
        "from analytics.engine.record import RequestRecord;"
        "spill = Spill(Path(sys.argv[1]));"
        "spill.append([RequestRecord(id='req_1', tenant_id='ten_1', started_us=1, finished_us=2)]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], timeout=60, check=False)
    heir = Spill(folder)
    heir.adopt()
    assert read_all(heir) == ["req_1"]


def test_a_half_written_last_line_is_counted_and_the_rest_is_kept(folder, make_record):
    record = make_record()
    dying = Spill(folder)
    dying.append([record])
    dying.close()
    [path] = folder.iterdir()
    with path.open("ab") as file:
        file.write(b'{"id":"req_half')
    heir = Spill(folder)
    heir.adopt()
    assert read_all(heir) == [record.id]
    assert heir.unreadable == 1
    assert list(folder.iterdir()) == []


def test_lines_that_are_no_record_are_counted_and_passed_over(folder, make_record):
    record = make_record()
    dying = Spill(folder)
    dying.append([record])
    dying.close()
    [path] = folder.iterdir()
    path.write_bytes(b"nonsense\n{}\n" + path.read_bytes())
    heir = Spill(folder)
    heir.adopt()
    assert read_all(heir) == [record.id]
    assert heir.unreadable == 2


def test_a_file_of_nothing_but_nonsense_ends(folder):
    folder.mkdir(mode=0o700)
    (folder / "1-1.jsonl").write_bytes(b"nonsense\n" * 100_000)
    heir = Spill(folder)
    heir.adopt()
    assert heir.read() == []
    assert heir.is_empty


def test_a_refused_write_keeps_nothing_of_it(folder, make_record, monkeypatch):
    spill = Spill(folder)
    first = make_record()
    spill.append([first])
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(fd, data[: len(data) - 50])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        spill.append([make_record()])
    monkeypatch.undo()
    assert read_all(spill) == [first.id]
    assert spill.unreadable == 0


def test_a_poisonous_record_can_be_read_back(folder, make_record):
    spill = Spill(folder)
    spill.append([make_record(id="req_1", asked_model="a\ud800\0", client_request_id=None)])
    [record] = spill.read()
    assert record.asked_model == "a?\ufffd"
    assert record.client_request_id == ""
