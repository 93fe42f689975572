"""What a repair asks of the catalog, and changes in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from interlace.store.database import Database
from interlace.store.rows import PART
from interlace.types import Id

Numbers = npt.NDArray[np.int64]

_LIVE = "{0}.born <= :commit AND ({0}.died IS NULL OR {0}.died > :commit)"

_BROKEN = f"""
SELECT d.number, d.id FROM documents AS d WHERE {_LIVE.format("d")} AND (
    NOT EXISTS (SELECT 1 FROM texts AS t WHERE t.document = d.number AND t.part = 0)
    OR NOT EXISTS (SELECT 1 FROM metadata AS m WHERE m.document = d.number AND {_LIVE.format("m")})
    OR d.number IN (
        SELECT t.document FROM texts AS t LEFT JOIN texts AS before
        ON before.document = t.document AND before.part = t.part - 1
        WHERE t.part > 0 AND coalesce(characters(before.text), 0) <> {PART}
    )
    OR d.number IN (
        SELECT p.document FROM passages AS p JOIN (
            SELECT document, sum(characters(text)) AS n FROM texts GROUP BY document
        ) AS t ON t.document = p.document WHERE {_LIVE.format("p")} AND (
            p."end" > t.n OR typeof(p.start) <> 'integer' OR typeof(p."end") <> 'integer'
            OR p.start NOT BETWEEN 0 AND p."end"
        )
    )
)"""


class LostDocument(NamedTuple):
    """A document some of whose passages no sound segment holds.

    Attributes
    ----------
    passages : list of (number, start, end)
        Those passages, in their order: insertion numbers, and where they lie in the text.
    """

    number: int
    id: Id
    content_hash: str
    syntax: str | None
    text: str
    passages: list[tuple[int, int, int]]


class MendingRows(Database):
    """The rows of a catalog that may be damaged."""

    def mend_indexes(self) -> list[str]:
        """Make indexes again where they do not agree with their tables; what was wrong."""
        wrong = self.structure()
        if any("index" in finding for finding in wrong):
            self._change("REINDEX", {})
            return [finding for finding in wrong if finding not in self.structure()]
        return []

    def structure(self) -> list[str]:
        """What SQLite finds wrong with the file."""
        found = self._rows("PRAGMA integrity_check(10)")
        return [finding for (finding,) in found if finding != "ok"]

    def broken_documents(self, commit: int) -> dict[int, Id]:
        """Live documents that lack text, a part of it, or metadata: ids by insertion number."""
        return dict(self._rows(_BROKEN, {"commit": commit}))

    def passages_without_document(self, commit: int) -> Numbers:
        """Insertion numbers of live passages whose document is not alive, ascending."""
        rows = self._rows(
            "SELECT p.number FROM passages AS p LEFT JOIN documents AS d"
            f" ON d.number = p.document AND {_LIVE.format('d')}"
            f" WHERE d.number IS NULL AND {_LIVE.format('p')} ORDER BY p.number",
            {"commit": commit},
        )
        return np.array([number for (number,) in rows], np.int64)

    def lost_document(self, number: int, passages: Sequence[int]) -> LostDocument:
        """A document of which these passages are to be encoded again."""
        ((id_, content_hash, syntax),) = self._rows(
            "SELECT id, content_hash, syntax FROM documents WHERE number = :number",
            {"number": number},
        )
        spans = self._rows(
            'SELECT p.number, p.start, p."end" FROM json_each(:passages) AS asked'
            " CROSS JOIN passages AS p ON p.number = asked.value ORDER BY p.number",
            {"passages": json.dumps(list(passages))},
        )
        parts = self._rows(
            "SELECT text FROM texts WHERE document = :number ORDER BY part", {"number": number}
        )
        text = "".join(part for (part,) in parts)
        return LostDocument(number, id_, content_hash, syntax, text, spans)

    def live_counts(self) -> tuple[int, int, int, int]:
        """Live documents and passages, and the least insertion numbers that are free."""
        (counts,) = self._rows(
            "SELECT (SELECT count(*) FROM documents WHERE died IS NULL),"
            " (SELECT count(*) FROM passages WHERE died IS NULL),"
            " (SELECT coalesce(max(number), -1) + 1 FROM documents),"
            " (SELECT coalesce(max(number), -1) + 1 FROM passages)"
        )
        n_documents, n_passages, next_document, next_passage = counts
        return n_documents, n_passages, next_document, next_passage

    def retire_all_runs(self, died: int) -> None:
        """Let all runs of words die."""
        self._change("UPDATE runs SET died = :died WHERE died IS NULL", {"died": died})

    def end_numbers(self, documents: Sequence[int], passages: Sequence[int], died: int) -> None:
        """Let documents with all their passages die, and passages that have no document."""
        values = {
            "documents": json.dumps(list(documents)),
            "passages": json.dumps(list(passages)),
            "died": died,
        }
        asked = "(SELECT value FROM json_each(:{}))"
        for table, column, which in (
            ("documents", "number", "documents"),
            ("metadata", "document", "documents"),
            ("passages", "document", "documents"),
            ("passages", "number", "passages"),
        ):
            self._change(
                f"UPDATE {table} SET died = :died"
                f" WHERE died IS NULL AND {column} IN {asked.format(which)}",
                values,
            )
        for table in ("texts", "metadata"):
            self._change(
                f"DELETE FROM {table} WHERE document NOT IN (SELECT number FROM documents)", {}
            )
