"""nDCG@10 of a model on a set of judged queries."""

from __future__ import annotations

import gzip
import json
import math

import parity
import pytest

from interlace.errors import InputError
from interlace.models import Encoder
from interlace.models.judging import ndcg

CORPUS = {
    "sky": "The daytime sky looks blue because air scatters short waves.",
    "sea": "Rivers carry salt into the sea.",
    "ice": "Ice floats on water because it is less dense.",
}


@pytest.fixture
def judged(tmp_path):
    def make(queries, lines, header="query-id\tcorpus-id\tscore"):
        (tmp_path / "qrels").mkdir()
        rows = [{"_id": name, "title": "", "text": text} for name, text in CORPUS.items()]
        (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
        asked = [{"_id": name, "text": text} for name, text in queries.items()]
        (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
        (tmp_path / "qrels" / "test.tsv").write_text("\n".join([header, *lines]) + "\n")
        return tmp_path

    return make


def test_what_comes_first_counts_most(judged, encoder):
    folder = judged(
        {"1": "why is the sky blue", "2": "salt of the sea", "3": "not judged"},
        ["1\tsky\t1", "2\tice\t1", "2\tsea\t0"],
    )
    found = ndcg(encoder, folder)
    rank = 1 + _order(encoder, "salt of the sea").index("ice")
    assert rank > 1
    assert found == pytest.approx((1 + 1 / math.log2(rank + 1)) / 2)


def _order(encoder, query):
    scores = encoder.similarity([query], list(CORPUS.values()))[0]
    return [name for _, name in sorted(zip(-scores, CORPUS, strict=True))]


def test_grades_are_gains(judged, encoder):
    names = _order(encoder, "why is the sky blue")
    folder = judged(
        {"1": "why is the sky blue"}, [f"1\t{names[0]}\t1", f"1\t{names[1]}\t3"], header="1\tx\t0"
    )
    best, real = 3 + 1 / math.log2(3), 1 + 3 / math.log2(3)
    assert ndcg(encoder, folder) == pytest.approx(real / best)


def test_a_packed_corpus_is_read_and_progress_told(judged, encoder):
    folder = judged({"1": "blue sky"}, ["1\tsky\t1"])
    path = folder / "corpus.jsonl"
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    told = []
    assert ndcg(encoder, folder, lambda *figures: told.append(figures)) == 1
    assert told == [("judge", 3, 3)]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "qrels" / "test.tsv").unlink(), r"cannot be read: .*test\.tsv"),
        (
            lambda folder: (folder / "qrels" / "test.tsv").write_text("a\tb\tc\n1 sky 1\n"),
            r"not a query, a document and a grade: .*line 2",
        ),
        (lambda folder: (folder / "corpus.jsonl").unlink(), r"cannot be read: .*corpus"),
        (
            lambda folder: (folder / "corpus.jsonl").write_text('{"_id": "1"}'),
            r'no object with "_id" and "text": .*corpus\.jsonl, line 1',
        ),
        (lambda folder: (folder / "qrels" / "test.tsv").write_text("x\ty\t0"), "is judged"),
    ],
)
def test_what_is_no_such_set_is_refused(judged, encoder, damage, message):
    folder = judged({"1": "blue sky"}, ["1\tsky\t1"])
    damage(folder)
    with pytest.raises(InputError, match=message):
        ndcg(encoder, folder)


def test_an_encoder_is_as_near_to_itself_as_can_be(judged, encoder):
    folder = judged({"1": "why is the sky blue"}, ["1\tsky\t1"])
    found = encoder.compare(Encoder.load("mini", backend="onnx"), on=folder)
    assert 0.99 < found.least_cosine <= found.mean_cosine < 1 + 1e-6
    assert found.ndcg == found.ndcg_other == 1
    assert encoder.compare(encoder).ndcg is None


def test_encoders_of_two_models_cannot_be_compared(encoder):
    other = Encoder.load(parity.folder("stanford-bert"), backend="onnx")
    with pytest.raises(InputError, match="not of the same model: mini"):
        encoder.compare(other)
