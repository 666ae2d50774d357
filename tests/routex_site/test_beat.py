"""The beat remembers what ran when, over restarts and whatever Python's own choice of files."""

from __future__ import annotations

import multiprocessing

from routex_site.beat import PlainScheduler
from routex_site.celery import app


def scheduler(path):
    return PlainScheduler(app=app, schedule_filename=str(path), lazy=False)


def test_what_ran_is_remembered_by_the_next_beat(tmp_path):
    first = scheduler(tmp_path / "beat")
    first.reserve(first.schedule["check channels"])
    first.close()
    again = scheduler(tmp_path / "beat")
    assert again.schedule["check channels"].total_run_count == 1
    assert again.schedule["roll up usage"].total_run_count == 0
    again.close()


def test_a_beat_goes_on_in_a_fork_of_the_process_that_opened_its_store(tmp_path):
    begun = scheduler(tmp_path / "beat")

    def beat():
        begun.reserve(begun.schedule["check channels"])
        begun.sync()

    child = multiprocessing.get_context("fork").Process(target=beat)
    child.start()
    child.join(30)
    assert child.exitcode == 0


def test_a_store_that_was_torn_is_made_anew(tmp_path):
    scheduler(tmp_path / "beat").close()
    (tmp_path / "beat.dir").write_text("'torn")
    again = scheduler(tmp_path / "beat")
    assert set(app.conf.beat_schedule) <= set(again.schedule)
    again.close()
