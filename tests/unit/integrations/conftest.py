"""A checkpoint in Stanford's format, with what colbert-ai makes of texts."""

from __future__ import annotations

import parity
import pytest


@pytest.fixture
def saved_by_colbert():
    """Its folder; texts within its lengths; colbert-ai's matrix of each; and of queries, by text.

    colbert-ai 0.2.22 has saved it, and encoded them: ``tests/golden/models``.
    """
    name = "stanford-bert"
    documents, queries = (
        {
            parity.TEXTS[key]: one
            for key, one in parity.read(name, "colbert-ai", role).items()
            if len(parity.TEXTS[key]) > 10 and "[" not in parity.TEXTS[key]
        }
        for role in ("document", "query")
    )
    longest = max(len(one.ids) for one in documents.values())
    fit = {text: one.embeddings for text, one in documents.items() if len(one.ids) < longest}
    assert len(fit) > 10
    asked = {text: one.embeddings for text, one in queries.items()}
    return parity.folder(name), list(fit), list(fit.values()), asked
