"""One decoder fuzzed in one process: random inputs until the time is up, then each hostile one against the clock."""

from __future__ import annotations

import gc
import hashlib
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from tests.routing.engine.translation.fuzz.targets import Target, targets

MEGABYTE = 1 << 20
#: The most that a hostile megabyte may cost, in processor time.
LIMIT_MS = 1000.0
#: The most that twice the input may cost, in times of once.
RATIO = 3.0
#: What costs less than this is not compared: the clock is too coarse.
MEASURABLE_MS = 30.0
#: How long one random input may take, in processor time, before it counts as a hang.
HANG_S = 10
EXAMPLES = 2000


@dataclass
class Outcome:
    """What came of one decoder."""

    name: str
    runs: int = 0
    slowest_ms: float = 0.0
    slowest: str = ""
    failures: list[str] = field(default_factory=list)


class Hang(Exception):
    """One input took too long."""


def run(target: Target, seconds: float, folder: Path) -> Outcome:
    """Fuzz a target for so many seconds of processor time, whatever else the machine does, and save what fails."""
    outcome = Outcome(target.name)
    found = _Found(target, folder, outcome)
    until = time.process_time() + seconds
    turn = 0
    while time.process_time() < until:
        turn += 1
        _random(target, found, until, turn)
    for label, made in target.hostile.items():
        _hostile(target, label, made, found)
    found.save()
    return outcome


class _Found:
    """Failures by where they come from, each with the shortest input that shows it."""

    def __init__(self, target: Target, folder: Path, outcome: Outcome) -> None:
        self.target = target
        self.folder = folder
        self.outcome = outcome
        self.known: set[str] = set()
        self._kept: dict[str, tuple[bytes, str]] = {}

    def note(self, mark: str, body: bytes, said: str) -> None:
        if mark not in self._kept or len(body) < len(self._kept[mark][0]):
            self._kept[mark] = (body, said)

    def save(self) -> None:
        for mark, (body, said) in self._kept.items():
            self.folder.mkdir(exist_ok=True)
            digest = hashlib.sha256(mark.encode()).hexdigest()[:8]
            path = self.folder / f"{self.target.name.replace(' ', '~')}~{digest}.bin"
            path.write_bytes(body)
            path.with_suffix(".txt").write_text(said)
            again = f"python -m tests.routing.engine.translation.fuzz --replay {path.relative_to(Path.cwd())}"
            self.outcome.failures.append(f"{mark}\n  {again}")


def _random(target: Target, found: _Found, until: float, turn: int) -> None:
    """Try random inputs; a failure is shortened and from then on passed over, so that others come to light."""
    last: list[str] = []

    def tried(body: bytes) -> None:
        if time.process_time() > until:
            return
        found.outcome.runs += 1
        try:
            with _alarm():
                target.check(body)
        except Exception as error:
            mark = _mark(error)
            if mark in found.known:
                return
            found.note(mark, body, "".join(traceback.format_exception(error)))
            last[:] = [mark]
            raise

    quiet = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    try:
        seed(f"{target.name}{time.time_ns()}{turn}")(quiet(given(target.cases)(tried)))()
    except Exception:  # noqa: BLE001 - it is noted already
        found.known.update(last)


def _mark(error: Exception) -> str:
    """Return what tells this failure from others: its kind and the innermost place of ours that it passed."""
    places = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/routing/" in frame.filename or "/channels_app/" in frame.filename
    ]
    place = places[-1] if places else traceback.extract_tb(error.__traceback__)[-1]
    said = re.sub(r"\s+", " ", str(error))[:160]
    short = place.filename.rpartition("/routing/")[2] or place.filename
    return (
        f"{type(error).__name__} at {short}:{place.lineno}: {said if isinstance(error, AssertionError) else ''}".rstrip(
            ": "
        )
    )


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"took longer than {HANG_S} s")

    signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _hostile(target: Target, label: str, made: Callable[[int], bytes], found: _Found) -> None:
    """Decode a hostile megabyte and half of it: fast enough, and not much more than twice as slow."""
    body = made(MEGABYTE)
    try:
        with _alarm():
            cost = min(_cost_ms(target, body) for _ in range(2))
    except Exception as error:  # noqa: BLE001
        found.note(f"{label}: {_mark(error)}", body, "".join(traceback.format_exception(error)))
        return
    if cost > found.outcome.slowest_ms:
        found.outcome.slowest_ms, found.outcome.slowest = cost, label
    if cost > LIMIT_MS:
        found.note(f"{label}: 1 MB took {cost:.0f} ms", body, label)
    elif cost > MEASURABLE_MS:
        # Twice in a row, for one doubling may cross the edge of a cache.
        quarter, half = (min(_cost_ms(target, made(MEGABYTE // part)) for _ in range(3)) for part in (4, 2))
        if half > RATIO * quarter and cost > RATIO * half:
            found.note(
                f"{label}: {cost:.0f} ms for 1 MB, {half:.0f} for half, {quarter:.0f} for a quarter", body, label
            )


def _cost_ms(target: Target, body: bytes) -> float:
    # The collector's own rounds would be counted for whoever has many objects at the time.
    gc.collect()
    gc.disable()
    try:
        begun = time.process_time()
        target.decode(body)
        return (time.process_time() - begun) * 1000
    finally:
        gc.enable()


def replay(path: Path) -> int:
    """Run one saved input again, showing what happens."""
    name = path.stem.rpartition("~")[0].replace("~", " ")
    target = targets()[name]
    body = path.read_bytes()
    begun = time.process_time()
    target.decode(body)
    print(f"{name}: {len(body)} bytes decoded in {(time.process_time() - begun) * 1000:.0f} ms")
    target.check(body)
    print("and all promises kept")
    return 0
