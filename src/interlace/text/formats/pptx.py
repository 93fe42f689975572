"""PPTX: one page a slide, its title a heading, with its tables and the speaker's notes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.extras import need
from interlace.text.markup import heading, item, joined, paragraph, table
from interlace.text.packages import Package
from interlace.text.records import Fields
from interlace.types import Document

#: What stands on every slide: the kinds of placeholder that hold it.
_REPEATED: Final = frozenset(("DATE", "FOOTER", "HEADER", "SLIDE_NUMBER"))
_TITLES: Final = frozenset(("TITLE", "CENTER_TITLE", "VERTICAL_TITLE"))


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document]:
    """Yield the text of a presentation as Markdown, slides separated by form feeds.

    So slide n is page n, hidden ones counted. Title, author and the date of the last change are
    metadata.

    Raises
    ------
    InputError
        When the file is no PPTX, encrypted, damaged or has no text.
    MissingExtra
        Without python-pptx.
    """
    pptx = need("pptx", extra="documents")
    package = Package(stream, name, "PPTX")
    with package.reading():
        slides = [_slide(slide) for slide in pptx.Presentation(io.BytesIO(package.data)).slides]
    if not any(slides):
        raise InputError(f"no text in it, only pictures: {name}.")
    yield Document("\f".join(slides), metadata=package.core_metadata(), syntax="markdown")


def _slide(slide: Any) -> str:
    blocks = [block for shape in slide.shapes for block in _shape(shape)]
    # A slide's title may be drawn after what it is the title of.
    blocks.sort(key=lambda block: not block.startswith("## "))
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        blocks += [f"Notes: {notes}"] if notes else []
    return joined(blocks)


def _shape(shape: Any) -> Iterator[str]:
    kind = shape.placeholder_format.type if shape.is_placeholder else None
    kind_name = "" if kind is None else kind.name
    if kind_name in _REPEATED:
        return
    if hasattr(shape, "shapes"):  # a group
        for one in shape.shapes:
            yield from _shape(one)
    elif getattr(shape, "has_table", False):
        yield table([_text(cell.text) for cell in row.cells] for row in shape.table.rows)
    elif getattr(shape, "has_chart", False):
        yield _chart(shape.chart)
    elif shape.has_text_frame and kind_name in _TITLES:
        yield heading(_text(shape.text_frame.text), 2)
    elif shape.has_text_frame:
        lines = [line for line in shape.text_frame.paragraphs if line.text.strip()]
        is_list = len(lines) > 1 and kind_name in ("BODY", "OBJECT")
        for line in lines:
            text = _text(line.text).strip()
            yield item(text, line.level) if is_list else paragraph(text)


def _chart(chart: Any) -> str:
    """Return what a chart is about: its title, its series and their categories."""
    names = [chart.chart_title.text_frame.text] if chart.has_title else []
    for plot in chart.plots:
        names += [str(series.name) for series in plot.series]
        names += map(str, plot.categories)
    return "; ".join(dict.fromkeys(filter(None, names)))


def _text(text: str) -> str:
    return text.replace("\v", "\n")  # a line break inside a paragraph
