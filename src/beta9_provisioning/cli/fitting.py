"""Rich's output without what would steer a terminal."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

from beta9_provisioning.cli.steering import fit


class Fitted:
    """A renderable whose text steers no terminal; Rich's own colours and movements stay."""

    def __init__(self, renderable: RenderableType) -> None:
        """Take what is to be shown."""
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render it, and replace in its text what does not fit."""
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(fit(segment.text), segment.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return how much room it wants."""
        return Measurement.get(console, options, self._renderable)


class Fitting(RenderHook):
    """Makes all that a console prints fit. What a live display shows besides has to be `Fitted` itself."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Return them fitted."""
        return [Fitted(one) for one in renderables]
