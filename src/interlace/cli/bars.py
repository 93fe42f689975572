"""Progress on standard error, where a person watches: right for files of very different size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from interlace.cli import output

#: Steps of the bar.
_STEPS: Final = 10_000

#: Before so many seconds a speed is a guess that jumps.
_WARM_SECONDS: Final = 2.0


class Meter:
    """Listens to work, and draws a bar if there is one to draw.

    It understands the stages ``"read"`` (characters; the total is an estimate that moves),
    ``"files"`` and ``"tokens"`` of an index, ``"encode"`` and ``"store"`` (documents) of an add,
    ``"export"`` (documents), ``"copy"`` (bytes), and of what measures ``"exact"`` (queries),
    ``"follow"`` (efforts), ``"try"`` (settings) and ``"judge"`` (documents). The bar never goes
    back: an estimate that grows makes it wait.

    Attributes
    ----------
    stored : int
        Documents that an add has stored.
    """

    def __init__(self, bar: Progress | None = None, label: str = "") -> None:
        self.stored = 0
        self._bar = bar
        self._task = bar.add_task(label, total=None, figures="") if bar else None
        self._share = 0.0
        self._began: float | None = None
        self._figures: dict[str, tuple[int, int | None]] = {}

    def __call__(self, stage: str, done: int, total: int | None, /) -> None:
        """Take note of a stage's progress."""
        if stage == "store":
            self.stored = done
        if self._bar is None or self._task is None:
            return
        if self._began is None:
            self._began = monotonic()
        self._figures[stage] = (done, total)
        if stage in ("read", "encode", "export", "copy") and total:
            self._share = max(self._share, min(done / total, 1.0))
        self._bar.update(
            self._task,
            completed=int(self._share * _STEPS),
            total=_STEPS if self._share else None,
            figures="  ".join(self._shown(monotonic() - self._began)),
        )

    def _shown(self, seconds: float) -> Iterator[str]:
        is_warm = seconds >= _WARM_SECONDS
        if "files" in self._figures:
            done, total = self._figures["files"]
            yield f"{done:,}/{total:,} files" if total else output.counted(done, "file")
        if "encode" in self._figures:
            done, total = self._figures["encode"]
            yield f"{done:,}/{total:,} documents" if total else output.counted(done, "document")
            if is_warm and "read" not in self._figures:
                yield f"{done / seconds:,.0f} a second"
        if "read" in self._figures:
            yield f"{self._figures['read'][0] / 1e6:,.1f} MB"
        if "export" in self._figures:
            done, total = self._figures["export"]
            yield f"{done:,}/{total:,} documents" if total else output.counted(done, "document")
        if "exact" in self._figures:
            done, total = self._figures["exact"]
            yield f"{done:,}/{total:,} queries" if total else output.counted(done, "query")
        if "follow" in self._figures:
            done, total = self._figures["follow"]
            yield f"{done:,}/{total or done:,} efforts"
        if "try" in self._figures:
            yield f"{self._figures['try'][0]:,} settings tried"
        if "judge" in self._figures:
            done, total = self._figures["judge"]
            yield f"{done:,}/{total or done:,} documents scored"
        if "copy" in self._figures:
            done, total = self._figures["copy"]
            yield f"{output.bytes_shown(done)} of {output.bytes_shown(total or done)}"
        if "tokens" in self._figures and is_warm:
            yield f"{self._figures['tokens'][0] / seconds:,.0f} tokens/s"
        if is_warm and self._share:
            yield f"{_clock(seconds / self._share - seconds)} left"


class _Figures(ProgressColumn):
    """What the meter has to say, as much as there is room for."""

    def render(self, task: Task) -> Text:
        """Show it."""
        return Text(task.fields["figures"], style="cyan", no_wrap=True, overflow="ellipsis")


@contextmanager
def metering(label: str, *, silent: bool = False) -> Iterator[Meter]:
    """Show how far a piece of work is; silently where nobody watches, or for machines."""
    console = output.to_side()
    if silent or not console.is_terminal:
        yield Meter()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=max(8, min(40, console.width - 66))),
        _Figures(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Meter(bar, label)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
