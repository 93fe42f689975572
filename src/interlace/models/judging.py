"""What a model is worth on a set of judged queries: exact MaxSim over all documents."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from interlace import kernels
from interlace.errors import InputError
from interlace.progress import Progress, silent
from interlace.types import FloatMatrix

if TYPE_CHECKING:
    from interlace.models.encoder import Encoder

#: How many hits of a query are judged.
K: Final = 10

#: Encoded by both of two encoders that are compared; the last is cut.
_PROBES: Final = (
    "Why is the daytime sky blue?",
    "Rayleigh scattering: short waves are scattered more strongly by the air than long ones.",
    "Der Himmel ist blau, weil die Luft kurzwelliges Licht stärker streut (1871).",
    "def area(radius): return 3.14159 * radius ** 2  # of a circle",
    "天空为什么是蓝色的？ لماذا السماء زرقاء؟ आकाश नीला क्यों है?",
    "The sea reflects the sky; rivers carry salt into it, and the sun takes the water back. " * 40,
)


#: Documents whose matrices are in memory at once.
_AT_ONCE: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How near an encoder is to another one.

    Attributes
    ----------
    mean_cosine, least_cosine : float
        Of the rows of one with those of the other, over a few texts.
    ndcg, ndcg_other : float or None
        Mean nDCG@10 on the given set, by exact MaxSim; None without a set.
    """

    mean_cosine: float
    least_cosine: float
    ndcg: float | None = None
    ndcg_other: float | None = None


def compare(
    encoder: Encoder, other: Encoder, on: Path | None = None, progress: Progress = silent
) -> Comparison:
    """Compare two encoders of the same model, for the parameters and errors see ``ndcg``."""
    cosines = np.concatenate([np.einsum("ij,ij->i", a, b) for a, b in probed(encoder, other)])
    return Comparison(
        mean_cosine=float(cosines.mean()),
        least_cosine=float(cosines.min()),
        ndcg=None if on is None else ndcg(encoder, on, progress),
        ndcg_other=None if on is None else ndcg(other, on, progress),
    )


def probed(one: Encoder, other: Encoder) -> Iterator[tuple[FloatMatrix, FloatMatrix]]:
    """What two encoders make of the probes, as queries and as documents.

    Raises
    ------
    InputError
        When they do not make as many rows of the same width.
    """
    for verb in ("encode_query", "encode_document"):
        for a, b in zip(getattr(one, verb)(_PROBES), getattr(other, verb)(_PROBES), strict=True):
            if a.shape != b.shape:
                raise InputError(
                    f"not of the same model: {one.name} makes a matrix of {a.shape} where "
                    f"{other.name} makes one of {b.shape}. Compare two that tokenize alike."
                )
            yield a, b


def ndcg(encoder: Encoder, folder: Path, progress: Progress = silent) -> float:
    """The mean nDCG@10 of the judged queries of a set, in 0 to 1.

    Parameters
    ----------
    encoder : Encoder
    folder : Path
        In BEIR's format: ``corpus.jsonl``, ``queries.jsonl`` (either may end in ``.gz``) and
        ``qrels/test.tsv``. A title is put before its text.
    progress : Progress
        Is told how many documents are scored, as stage ``"judge"``.

    Raises
    ------
    InputError
        When a file is missing or a line is not of that format.

    Source
    ------
    Järvelin and Kekäläinen, 2002, with the grades themselves as gains, as trec_eval has it.
    """
    judged = _judgements(folder / "qrels" / "test.tsv")
    texts = {query: text for query, text in _lines(folder, "queries") if query in judged}
    if not texts:
        raise InputError(f"no query of {folder / 'queries.jsonl'} is judged. Check the qrels.")
    queries = encoder.encode_query(texts.values())
    table, documents, parts = kernels.table(), [], []
    corpus = list(_lines(folder, "corpus"))
    for start in range(0, len(corpus), _AT_ONCE):
        some = corpus[start : start + _AT_ONCE]
        matrices = encoder.encode_document([text for _, text in some])
        offsets = np.zeros(len(some) + 1, np.int64)
        np.cumsum([len(one) for one in matrices], out=offsets[1:])
        tokens = np.concatenate(matrices)
        parts.append([table.maxsim(one, tokens, offsets, encoder.n_threads) for one in queries])
        documents += [document for document, _ in some]
        progress("judge", len(documents), len(corpus))
    scores = np.concatenate(parts, axis=1) if parts else np.zeros((len(queries), 0))
    gains = []
    for query, row in zip(texts, scores, strict=True):
        best = np.lexsort((np.arange(len(row)), -row))[:K]
        found = [judged[query].get(documents[i], 0) for i in best]
        gains.append(_dcg(found) / _dcg(sorted(judged[query].values(), reverse=True)[:K]))
    return float(np.mean(gains))


def _dcg(grades: list[int]) -> float:
    return sum(grade / float(np.log2(rank + 2)) for rank, grade in enumerate(grades))


def _judgements(path: Path) -> Mapping[str, Mapping[str, int]]:
    """Grades above zero, by query and document."""
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as cause:
        raise InputError(
            f"cannot be read: {path} ({cause.strerror}). Pass the folder of a set."
        ) from None
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        if number == 1 and not fields[-1].strip().lstrip("-").isdigit():
            continue  # the names of the columns
        try:
            query, document, grade = fields
            if int(grade) > 0:
                judged[query][document] = int(grade)
        except ValueError:
            raise InputError(
                f"not a query, a document and a grade: {path}, line {number}. Part them with tabs."
            ) from None
    return judged


def _lines(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """Ids and texts of a file of JSON lines."""
    path = folder / f"{name}.jsonl"
    packed = path.with_name(f"{name}.jsonl.gz")
    try:
        with path.open("rb") if path.is_file() else gzip.open(packed) as file:
            for number, line in enumerate(file, start=1):
                try:
                    record: dict[str, Any] = json.loads(line)
                    title, text = record.get("title") or "", record["text"]
                    yield str(record["_id"]), f"{title} {text}".strip()
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise InputError(
                        f'no object with "_id" and "text": {path}, line {number}. Mend that line.'
                    ) from None
    except OSError as cause:
        raise InputError(f"cannot be read: {path} ({cause}). Pass the folder of a set.") from None
