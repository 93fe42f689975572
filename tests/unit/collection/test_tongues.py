"""Chinese, Arabic, Hindi, German, Japanese, Thai and code, from file to marked snippet."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.collection import explain_words
from interlace.collection.snippets import snippet
from interlace.types import Hit

GOLDEN = Path(__file__).parents[2] / "golden" / "models" / "checkpoints"

#: File -> what is asked, in the file's own words; and a word that an answer must show.
ASKED = {
    "international/HOWTO-zh.md": ("不要犹豫，提问题", "犹豫"),
    "international/HOWTO-ar.md": ("نرحب بجميع المساهمين الجدد", "المساهمين"),
    "international/HOWTO-hi.md": ("हम नए योगदानकर्ताओं का स्वागत करते हैं", "योगदानकर्ताओं"),
    "international/HOWTO-de.md": ("neue BEITRAGENDE herzlich willkommen heissen", "heißen"),
    "international/HOWTO-ja.md": ("新しい貢献者を歓迎します", "歓迎"),
    "international/HOWTO-th.md": ("อย่าลังเลที่จะถามคำถาม", "ลังเล"),
    "code/textwrap.py": ("def fill(text, width=70)", "fill"),
    "code/gun.c": ("Unix compress LZW decompression speed", "LZW"),
}

#: One of word pieces, and one of bytes, whose tokens may be less than a character.
MODELS = {"mini": "mini", "bytes": str(GOLDEN / "pylate-modernbert")}


@pytest.fixture(scope="module")
def texts(shared_data):
    folder = shared_data("messy")
    return {name: (folder / name).read_text(encoding="utf-8") for name in ASKED}


@pytest.fixture(scope="module", params=MODELS)
def filled(request, texts, shared_data, tmp_path_factory):
    """A collection of the files, read as a user reads them."""
    path = tmp_path_factory.mktemp("tongues") / "x.lace"
    with interlace.create(path, model=MODELS[request.param]) as collection:
        for name in texts:
            (document,) = interlace.read(shared_data("messy") / name)
            collection.add([replace(document, id=name, metadata={"file": name})])
        yield collection


def passages(collection, name: str) -> list[Hit]:
    hits = collection.search("text", mode="late", by="passage", k=10_000, where={"file": name})
    return sorted(hits, key=lambda hit: hit.passage)


@pytest.mark.parametrize("name", ASKED)
def test_passages_are_the_text_between_their_offsets(filled, texts, name):
    text, hits = texts[name], passages(filled, name)
    assert len(hits) > 3
    covered = np.zeros(len(text), bool)
    for hit in hits:
        assert text[hit.start : hit.end] == hit.text
        covered[hit.start : hit.end] = True
    assert "".join(c for c, seen in zip(text, covered, strict=True) if not seen).strip() == ""
    for before, after in pairwise(hits):
        assert before.end <= after.start
    if name.endswith(".py"):
        assert hits[3].line == text.count("\n", 0, hits[3].start) + 1


@pytest.mark.parametrize("name", ASKED)
def test_no_passage_begins_with_a_mark_of_the_letter_before(filled, texts, name):
    for hit in passages(filled, name):
        assert unicodedata.category(hit.text[0])[0] != "M", ascii(hit.text[:10])


def test_no_passage_is_cut_by_the_model(filled, texts):
    encoder = interlace.Encoder.load(filled.info()["model"]["name"])
    for name in texts:
        counts = encoder.count([hit.text for hit in passages(filled, name)])
        assert max(counts) <= encoder.document_length


@pytest.mark.parametrize("name", ASKED)
def test_words_of_a_text_find_it(filled, name):
    query, _ = ASKED[name]
    assert filled.search(query, mode="lexical", k=1)[0].id == name
    if filled.info()["model"]["name"] == "mini":  # the other's weights are random
        assert name in [hit.id for hit in filled.search(query, mode="hybrid", k=2)]


@pytest.mark.parametrize("name", ASKED)
def test_an_explanation_points_at_characters(filled, texts, name):
    query, _ = ASKED[name]
    hit = filled.search(query, mode="late", k=1, where={"file": name})[0]
    told = filled.explain(query, hit)
    assert sum(match.similarity for match in told.matches) == pytest.approx(told.score, rel=1e-4)
    said = [match for match in told.matches if match.text]
    assert said
    for match in said:
        assert texts[name][match.start : match.end] == match.text
        assert hit.start <= match.start < match.end <= hit.end
        assert query[match.query_start : match.query_end] == match.query_text
    cut = snippet(told, 60)
    assert texts[name][cut.start : cut.end] == cut.text
    assert len(cut.text) <= 60


@pytest.mark.parametrize("name", ASKED)
def test_the_words_that_were_asked_for_are_marked(filled, texts, name):
    query, word = ASKED[name]
    hit = filled.search(query, mode="lexical", k=1, where={"file": name})[0]
    cut = snippet(explain_words(query, hit), 240)
    assert texts[name][cut.start : cut.end] == cut.text
    marked = [cut.text[start:end] for start, end in cut.marks]
    assert marked
    assert word not in hit.text or any(word in one for one in marked), marked
