"""Which format and operation a gateway path stands for."""

from __future__ import annotations

from collections.abc import Iterator

from routing.engine.format import Format, Route
from routing.engine.formats import FORMATS


class Paths:
    """All paths that requests are sent to."""

    def __init__(self) -> None:
        self._formats: list[Format] = [FORMATS[name] for name in FORMATS]
        self._exact: dict[str, tuple[Format, Route]] = {
            path: (known, Route(operation)) for known in self._formats for path, operation in known.paths.items()
        }

    def find(self, path: str) -> tuple[Format, Route] | None:
        """Return the format and what is asked of it; None for a path that takes no requests."""
        return self._exact.get(path) or self._by_pattern(path)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the paths that are the same for every model."""
        return iter(self._exact)

    def _by_pattern(self, path: str) -> tuple[Format, Route] | None:
        for known in self._formats:
            route = known.route(path)
            if route is not None:
                return known, route
        return None
