"""PDF: page by page with pdfium, lines joined to paragraphs again by where they stand on the page.

A page's text follows the order in which the file paints it, which in columns is the order of
reading. Pages are separated by a form feed, so page n of a viewer is the n-th here.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ctypes import byref, c_double, c_ushort
from itertools import pairwise, zip_longest
from statistics import median
from typing import IO, Any, Final, NamedTuple

from interlace.errors import InputError
from interlace.extras import need
from interlace.text.about import about
from interlace.text.records import Fields
from interlace.types import Document, Skipped

#: pdfium keeps its state in globals, so that one thread at a time may be in it.
_PDFIUM: Final = threading.Lock()

#: Running heads are looked for in so many pages at a time, which bounds the memory.
_PAGES: Final = 256
#: The part of a page's height, above and below, where running heads and page numbers stand.
_MARGIN: Final = 0.12
#: A page with a picture and fewer letters than this is one to recognise by other programs.
_LETTERS_MIN: Final = 20

#: What pdfium puts where a word was divided at the end of a line.
_HYPHEN: Final = "\x02"
_BREAKS = re.compile(f"\r\n|[\r\n{_HYPHEN}]")
_LEADERS = re.compile(r"(?:\s*[.·]){4,}\s*")
_ITEM = re.compile(
    r"[•◦▪‣⁃*·–—-]\s|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{2,4})[.)]\s|\[\w{1,8}\]\s|\d+(?:\.\d+)+\s"
)
_RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_RTL_RUN = re.compile(f"{_RTL.pattern}(?:[\\W_]*{_RTL.pattern})*")
_COMPOUND = re.compile(r"\w+(?:-\w+)+")
_NUMBER = re.compile(r"(?<!\d)\d{1,4}(?!\d)")
_LETTER = re.compile(r"[^\W\d_]")
_SENTENCE_END = tuple(".!?:;。！？")

_GLYPHS: Final = {
    **dict.fromkeys(map(chr, range(32)), ""),
    **dict.fromkeys(map(chr, range(0x7F, 0xA0)), ""),
    **dict.fromkeys("\u00ad\u200b\ufeff\ufffe\uffff", ""),
    **dict.fromkeys("\t\u00a0\u2007\u202f", " "),
    # The bullets of the Symbol and Wingdings fonts, which have no character of their own.
    **dict.fromkeys("\uf0b7\uf0a7\uf06c", "•"),
}
_CLEAN = str.maketrans(
    _GLYPHS
    | {
        chr(code): unicodedata.normalize("NFKC", chr(code))
        for first, last in ((0xFB00, 0xFB06), (0xFB13, 0xFB17), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC))
        for code in range(first, last + 1)
    }
)


class _Row(NamedTuple):
    """A line of a page, in points from the lower left corner."""

    text: str
    left: float
    right: float
    base: float
    size: float
    #: Whether its last word goes on in the next row.
    divided: bool = False


class _Page(NamedTuple):
    rows: list[_Row]
    height: float
    fields: str
    is_picture: bool = False
    is_damaged: bool = False


class _Contents(NamedTuple):
    text: str
    metadata: dict[str, str]
    #: The numbers, from 1, of the pages that are pictures, and of those that cannot be read.
    pictures: list[int]
    damaged: list[int]


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped]:
    """Yield the text of a PDF, and a note on the pages that are pictures or damaged.

    Line ends inside a paragraph become blanks and words divided there are one again; the filled-in
    fields of a form follow their page; heads, feet and page numbers that most pages repeat are
    left out (the first of them stays when it has words). Title, author and the date it was made
    come from the file's own information. Threads wait for each other: pdfium serves one at a time.

    Raises
    ------
    InputError
        When the file is encrypted, damaged or has no text.
    MissingExtra
        Without pypdfium2.
    """
    pdfium = need("pypdfium2", extra="documents")
    data = stream.read()
    with _PDFIUM:
        contents = _contents(pdfium, data, name)
    if not any(map(str.isalnum, contents.text)):
        if contents.pictures:
            remedy = "Recognise it first, for example with ocrmypdf."
            raise InputError(f"no text in it, only pictures: {name}. {remedy}")
        raise InputError(f"{'damaged' if contents.damaged else 'no text in it'}: {name}.")
    yield Document(contents.text, metadata=contents.metadata)
    for pages, why in (
        (contents.pictures, "hardly any text, only pictures; recognise it first with ocrmypdf"),
        (contents.damaged, "damaged"),
    ):
        if pages:
            yield Skipped(f"{name}, {_numbers(pages)}", why)


def _contents(pdfium: Any, data: bytes, name: str) -> _Contents:
    try:
        pdf = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        raise InputError(_refusal(pdfium, error, data, name)) from None
    texts: list[str] = []
    pictures: list[int] = []
    damaged: list[int] = []
    with pdf:
        if pdf.get_formtype():
            pdf.init_forms()
        n_pages = len(pdf)
        for first in range(0, n_pages, _PAGES):
            pages = [_page(pdfium.raw, pdf, n) for n in range(first, min(first + _PAGES, n_pages))]
            texts += _page_texts(pages)
            pictures += [n for n, page in enumerate(pages, first + 1) if page.is_picture]
            damaged += [n for n, page in enumerate(pages, first + 1) if page.is_damaged]
        info = {key: value.translate(_CLEAN) for key, value in pdf.get_metadata_dict().items()}
    metadata = about(info["Title"], info["Author"], info["CreationDate"])
    return _Contents("\f".join(texts), metadata, pictures, damaged)


def _page_texts(pages: Sequence[_Page]) -> Iterator[str]:
    compounds = {
        word for page in pages for row in page.rows for word in _COMPOUND.findall(row.text)
    }
    for page, heads in zip(pages, _running_heads(pages), strict=True):
        yield _page_text(page, heads, compounds)


def _refusal(pdfium: Any, error: Any, data: bytes, name: str) -> str:
    if error.err_code in (pdfium.raw.FPDF_ERR_PASSWORD, pdfium.raw.FPDF_ERR_SECURITY):
        return f"encrypted: {name}. Save a copy without password."
    if b"%PDF-" not in data[:1024]:
        return f"not a PDF, whatever its name says: {name}."
    if b"%%EOF" not in data[-2048:]:
        return f"damaged, its end is missing: {name}. Fetch or export it again."
    return f"damaged: {name}. Open it in a viewer and save it again."


# ── one page ─────────────────────────────────────────────────────────────────────────────────


def _page(raw: Any, pdf: Any, number: int) -> _Page:
    page = raw.FPDF_LoadPage(pdf.raw, number)
    if not page:  # it counts as an empty one, so that those after it keep their numbers
        return _Page([], 1.0, "", is_damaged=True)
    try:
        characters = raw.FPDFText_LoadPage(page)
        if not characters:
            return _Page([], 1.0, "", is_damaged=True)
        try:
            rows = _rows(raw, characters)
        finally:
            raw.FPDFText_ClosePage(characters)
        n_letters = sum(sum(map(str.isalnum, row.text)) for row in rows)
        return _Page(
            rows,
            raw.FPDF_GetPageHeightF(page),
            _fields(raw, pdf, page),
            n_letters < _LETTERS_MIN and _has_picture(raw, page),
        )
    finally:
        raw.FPDF_ClosePage(page)


def _rows(raw: Any, characters: Any) -> list[_Row]:
    code = raw.FPDFText_GetUnicode
    text = "".join([chr(code(characters, i)) for i in range(raw.FPDFText_CountChars(characters))])
    rows: list[_Row] = []
    start = 0
    for end in [*(match.span() for match in _BREAKS.finditer(text)), (len(text), len(text))]:
        if text[start : end[0]].strip():
            divided = text[end[0] : end[1]] == _HYPHEN and end[1] < len(text)
            row = _row(raw, characters, text, start, end[0])._replace(divided=divided)
            if rows and (joined := _side_by_side(rows[-1], row)):
                rows[-1] = joined
            elif row.text:
                rows.append(row)
        start = end[1]
    return rows


def _row(raw: Any, characters: Any, text: str, start: int, end: int) -> _Row:
    while text[start].isspace():
        start += 1
    while text[end - 1].isspace():
        end -= 1
    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(characters, start, byref(box))
    left, right, size = box.left, box.right, box.top - box.bottom
    raw.FPDFText_GetLooseCharBox(characters, end - 1, byref(box))
    x, y = c_double(), c_double()
    raw.FPDFText_GetCharOrigin(characters, start, byref(x), byref(y))
    line = text[start:end]
    if _RTL.search(line):
        line = _logical(raw, characters, line, start)
    return _Row(
        _LEADERS.sub(" … ", unicodedata.normalize("NFC", line.translate(_CLEAN))).strip(),
        min(left, box.left),
        max(right, box.right),
        y.value,
        max(size, box.top - box.bottom, 1.0),
    )


def _logical(raw: Any, characters: Any, line: str, start: int) -> str:
    """Return a line with its right-to-left runs in the order in which they are read.

    pdfium turns each run round, as if every file painted it from left to right; that is wrong for
    files that paint it from right to left, and for the letters that one glyph stands for.
    """
    x, y = c_double(), c_double()

    def place(i: int) -> float:
        raw.FPDFText_GetCharOrigin(characters, start + i, byref(x), byref(y))
        return x.value

    def turned(run: re.Match[str]) -> str:
        places = [place(i) for i in range(*run.span())]
        if places[0] < places[-1]:
            return run[0][::-1]
        read, first = [], 0
        for i in range(1, len(places) + 1):
            if i == len(places) or places[i] != places[first]:
                read.append(run[0][first:i][::-1])
                first = i
        return "".join(read)

    return _RTL_RUN.sub(turned, line)


def _side_by_side(row: _Row, other: _Row) -> _Row | None:
    """Return two rows as one when the second goes on where the first ends: S, and its exponent."""
    size = max(row.size, other.size)
    gap = other.left - row.right
    if row.divided or not -0.3 * size <= gap <= size:
        return None
    if abs(other.base - row.base) > 0.6 * size:
        return None
    between = "" if gap < 0.12 * size else " "
    return _Row(
        f"{row.text}{between}{other.text}",
        row.left,
        other.right,
        row.base if row.size >= other.size else other.base,
        size,
        other.divided,
    )


def _fields(raw: Any, pdf: Any, page: Any) -> str:
    """Return the filled-in fields of a form, one a line."""
    if pdf.formenv is None:
        return ""
    lines = []
    for i in range(raw.FPDFPage_GetAnnotCount(page)):
        annotation = raw.FPDFPage_GetAnnot(page, i)
        if not annotation:
            continue
        try:
            if raw.FPDFAnnot_GetSubtype(annotation) != raw.FPDF_ANNOT_WIDGET:
                continue
            form = pdf.formenv.raw
            if raw.FPDFAnnot_GetFormFieldType(form, annotation) == raw.FPDF_FORMFIELD_PUSHBUTTON:
                continue
            value = _utf16(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
            label = _utf16(raw.FPDFAnnot_GetFormFieldAlternateName, form, annotation) or _utf16(
                raw.FPDFAnnot_GetFormFieldName, form, annotation
            )
            if value and value != "Off":
                lines.append(f"{label}: {value}" if label else value)
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return "\n".join(dict.fromkeys(lines))


def _utf16(function: Any, form: Any, annotation: Any) -> str:
    n_bytes = function(form, annotation, None, 0)
    if n_bytes <= 2:
        return ""
    buffer = (c_ushort * (n_bytes // 2))()
    function(form, annotation, buffer, n_bytes)
    return bytes(buffer).decode("utf-16-le", "ignore").rstrip("\0").translate(_CLEAN).strip()


def _has_picture(raw: Any, page: Any) -> bool:
    kinds = (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM)
    return any(
        raw.FPDFPageObj_GetType(raw.FPDFPage_GetObject(page, i)) in kinds
        for i in range(raw.FPDFPage_CountObjects(page))
    )


# ── what pages repeat ────────────────────────────────────────────────────────────────────────


def _running_heads(pages: Sequence[_Page]) -> list[frozenset[int]]:
    """Return for each page which of its rows are heads, feet and page numbers to leave out."""
    edges = [_edges(page) for page in pages]
    n_least = max(3, len(pages) // 3)
    offset = _numbering(edges, n_least)
    keys = [
        {i: _without(row, number, offset) for i, row in page.items()}
        for number, page in enumerate(edges)
    ]
    counts = Counter(key for page in keys for key in set(page.values()))
    seen: set[str] = set()
    heads = []
    for rows, page in zip(edges, keys, strict=True):
        repeated = {
            i: key
            for i, key in page.items()
            if not key or counts[key] >= (n_least if key == rows[i] else 2)
        }
        # The first of each stays, so that no word of the file is lost.
        heads.append(
            frozenset(i for i, key in repeated.items() if key in seen or not _LETTER.search(key))
        )
        seen.update(repeated.values())
    return heads


def _edges(page: _Page) -> dict[int, str]:
    """Return the rows near the upper and the lower end of a page, and the outermost ones."""
    bases = [row.base for row in page.rows]
    outermost = {min(bases), max(bases)} if bases else set()
    return {
        i: row.text
        for i, row in enumerate(page.rows)
        if row.base in outermost or not _MARGIN < row.base / page.height < 1 - _MARGIN
    }


def _numbering(edges: Sequence[Mapping[int, str]], n_least: int) -> int | None:
    """Return by how much the printed page numbers are ahead of the count, if they are printed."""
    offsets = Counter(
        offset
        for number, page in enumerate(edges)
        for offset in {
            int(match[0]) - number for row in page.values() for match in _NUMBER.finditer(row)
        }
    )
    (offset, count), *_ = offsets.most_common(1) or [(0, 0)]
    return offset if count >= n_least else None


def _without(row: str, number: int, offset: int | None) -> str:
    """Return a row without the number of its page."""
    if offset is None:
        return row
    return re.sub(rf"(?<!\d){number + offset}(?!\d)", "", row, count=1).strip(" |-–—·")


# ── rows to paragraphs ───────────────────────────────────────────────────────────────────────


def _page_text(page: _Page, heads: frozenset[int], compounds: set[str]) -> str:
    rows = [row for i, row in enumerate(page.rows) if i not in heads]
    blocks = _blocks(rows)
    ends = [row.right for row in rows if _LETTER.search(row.text)]
    parts: list[str] = []
    for number, block in enumerate(blocks):
        if number:
            above = blocks[number - 1][-1]
            _join(parts, above, block[0], _between(above, block[0]), compounds)
        parts.append(block[0].text)
        right = max(row.right for row in block)
        is_flush = sum(abs(right - end) < 0.3 * block[0].size for end in ends) > 2
        for (above, row), after in zip_longest(pairwise(block), block[2:]):
            _join(parts, above, row, _border(above, row, after, right, is_flush), compounds)
            parts.append(row.text)
    if page.fields:
        parts.append(f"\n\n{page.fields}" if parts else page.fields)
    return "".join(parts)


def _join(parts: list[str], above: _Row, row: _Row, border: str, compounds: set[str]) -> None:
    if above.divided:
        parts[-1] = _mended(parts[-1], row.text, compounds)
    else:
        parts.append(border)


def _blocks(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return the rows in groups of one size and one distance from line to line."""
    steps = [above.base - row.base for above, row in pairwise(rows)]
    leads = [step for step, row in zip(steps, rows[1:], strict=True) if 0.7 < step / row.size < 2.5]
    lead = median(leads) if leads else 0.0
    blocks = [[row] for row in rows[:1]]
    for step, (above, row) in zip(steps, pairwise(rows), strict=True):
        size = max(above.size, row.size)
        if 0 < step < 1.3 * max(lead, size) and min(above.size, row.size) > 0.85 * size:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    return blocks


def _between(above: _Row, row: _Row) -> str:
    """Return what stands between two blocks: a blank where a sentence goes on in a new column."""
    is_next_column = above.base <= row.base and min(above.size, row.size) > 0.85 * above.size
    goes_on = row.text[0].islower() and not above.text.endswith(_SENTENCE_END)
    return " " if is_next_column and goes_on else "\n\n"


def _border(above: _Row, row: _Row, after: _Row | None, right: float, is_flush: bool) -> str:
    """Return what stands between two rows of a block: a blank inside a paragraph."""
    indent = row.left - above.left
    if indent > 0.7 * row.size and (after is None or after.left < row.left - 0.7 * row.size):
        return "\n\n"
    if _ITEM.match(row.text) or not _is_prose(above) or not _is_prose(row):
        return "\n"
    is_lower = row.text[0].islower()
    if above.text.endswith(_SENTENCE_END) and not is_lower:
        return " " if is_flush and right - above.right < 0.3 * above.size else "\n"
    # The line had to end there when the next word had no room any more.
    first_word = row.text.split(maxsplit=1)[0]
    room = (row.right - row.left) / len(row.text) * (len(first_word) + 1.5)
    return " " if right - above.right < room and (is_lower or is_flush) else "\n"


def _is_prose(row: _Row) -> bool:
    """Whether a row has words, without the holes of a table and the leaders of contents."""
    n_wide = len(row.text) + sum(character > "\u2e7f" for character in row.text)
    has_holes = row.right - row.left > 0.68 * row.size * n_wide
    return not has_holes and " … " not in row.text and _LETTER.search(row.text) is not None


def _mended(start: str, rest: str, compounds: set[str]) -> str:
    """Return the first half of a divided word, with its hyphen where that belongs to the word."""
    head, tail = re.split(r"[^\w-]", start)[-1], re.split(r"[^\w-]", rest)[0]
    is_compound = not rest[:1].islower() or f"{head}-{tail}" in compounds
    return f"{start}-" if is_compound else start


def _numbers(pages: Sequence[int]) -> str:
    """Return ``"pages 1-3, 7"``."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][1] + 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    spans = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return f"page {spans}" if len(pages) == 1 else f"pages {spans}"
