"""Where queries come from, and what is left out of what they find."""

from __future__ import annotations

import numpy as np
import pytest

from interlace.collection import Inside
from interlace.errors import InputError
from interlace.evaluate.questions import answer, live_rows, questions
from interlace.progress import silent


def drawn(collection, n=20, k=5, seed=0, **given):
    return questions(Inside(collection), k, n, seed=seed, progress=silent, **given)


def test_a_collection_with_a_model_is_asked_its_own_sentences(texts, encoder):
    for question in drawn(texts):
        (passage,) = texts._store.snapshot().passages([question.own])
        first, second = passage.text.split(". ")
        sentences = [*encoder.encode_query([f"{first}."]), *encoder.encode_query([second])]
        assert any(np.array_equal(question.matrix, one) for one in sentences)


def test_a_collection_without_one_is_asked_runs_of_its_vectors(vectors):
    for question in drawn(vectors):
        stored = vectors._store.snapshot().embeddings(question.own)
        assert question.matrix.shape == stored.shape  # twelve tokens: less than a window
        assert np.array_equal(question.matrix, stored)


def test_the_seed_draws_the_questions(vectors):
    one, same, other = (
        [question.own for question in drawn(vectors, seed=seed)] for seed in (0, 0, 1)
    )
    assert one == same != other
    assert len(set(one)) == 20


@pytest.mark.parametrize("effort", ["fast", "exhaustive"])
def test_the_passage_that_a_question_was_taken_from_is_left_out(vectors, effort):
    snapshot = vectors._store.snapshot()
    for question in drawn(vectors):
        rows, found = answer(snapshot, question, 5, effort)
        assert question.own in found.rows  # it answers best itself
        assert question.own not in rows
        assert question.own not in question.best
        assert len(rows) == len(question.best) == 5


def test_what_is_deleted_is_not_asked(vectors):
    vectors.delete(range(0, 900, 2))
    snapshot = vectors._store.snapshot()
    assert len(live_rows(snapshot)) == 450
    ids = [passage.id for passage in snapshot.passages([one.own for one in drawn(vectors)])]
    assert all(id_ % 2 for id_ in ids)


def test_queries_that_are_given_leave_nothing_out(texts, encoder):
    (question,) = drawn(texts, texts=["The red house near the harbour."])
    assert question.own == -1
    assert np.array_equal(
        question.matrix, encoder.encode_query(["The red house near the harbour."])[0]
    )
    hits = texts.search("The red house near the harbour.", 5, mode="late", effort="exhaustive")
    found = texts._store.snapshot().passages(question.best)
    assert [passage.id for passage in found] == [hit.id for hit in hits]


def test_there_must_be_something_to_ask(new_collection, vectors):
    with pytest.raises(InputError, match="nothing to measure with"):
        drawn(new_collection())
    with pytest.raises(InputError, match="nothing to measure with"):
        drawn(vectors, embeddings=[np.empty((0, 16), np.float32)])
    with pytest.raises(InputError, match="7 dims where 16"):
        drawn(vectors, embeddings=[np.ones((3, 7), np.float32)])
