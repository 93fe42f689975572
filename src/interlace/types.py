"""The nouns that travel between rooms: documents in, hits and explanations out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

Id: TypeAlias = str | int
FloatMatrix: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Document:
    """What a user adds: a text with an optional id and metadata.

    Attributes
    ----------
    text : str
        A form feed begins a new page, unless ``syntax`` is a programming language.
    id : str or int, optional
        Without one, a document is known by the first 16 hex digits of the SHA-256 of its text.
    metadata : mapping
        Of anything that JSON can hold.
    syntax : str, optional
        How the text is written: ``"markdown"``, ``"rst"``, a programming language such as
        ``"python"``; None for prose. It says where passages may begin, and their headings.
    file : str, optional
        The file it was read from, as messages and hits name it.
    line : int, optional
        The line of that file where the text begins, from 1; None where the text is not the file's
        own, as with PDF.
    """

    text: str
    id: Id | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    syntax: str | None = None
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was not read, and why.

    Attributes
    ----------
    where : str
        A file, and the line or the part of it where that is known: ``"notes/a.jsonl, line 4"``.
    why : str
        The cause and, where there is one, the remedy.
    failed : bool
        True when a whole file or folder, or a file in an archive, could not be read: what was read
        of it earlier stays. False when it was left out on purpose or is empty, and for a record.
    """

    where: str
    why: str
    failed: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that is encoded as one; ``text == document.text[start:end]``.

    Attributes
    ----------
    line : int or None
        The line of the document's file where it begins, from 1.
    page : int or None
        The page where it begins, from 1, where the document has pages.
    headings : tuple of str
        The headings it stands under, outermost first.
    """

    document_id: Id
    number: int
    start: int
    end: int
    text: str
    line: int | None = None
    page: int | None = None
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A text as late interaction sees it.

    Attributes
    ----------
    matrix : (n_tokens, dim) float32
        Unit rows, one a token.
    token_ids : (n_tokens,) int32 or None
        The vocabulary id of each token; None when the embeddings came without them.
    offsets : (n_tokens, 2) int32 or None
        Start and end of each token in the text, in characters; (0, 0) for special tokens.
    n_cut : int
        How many tokens of the text lie beyond the model's length and were left out.
    """

    matrix: FloatMatrix
    token_ids: IntArray | None = None
    offsets: IntArray | None = None
    n_cut: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage that a search found.

    Attributes
    ----------
    id : str or int
        The document's id, of the type it was added with.
    passage : int
        The number of the passage in its document, from 0.
    start, end : int
        Where the passage lies in the document's text, in characters.
    text : str
        The passage's text.
    score : float
        What orders the list: in a late search ``late_score``, in a lexical one ``lexical_score``,
        in a hybrid one the two together, in [0, 1].
    mean_score : float or None
        ``late_score`` divided by the number of query tokens, so in [-1, 1]: comparable between
        queries.
    rank : int
        From 1.
    metadata : mapping
        The document's metadata.
    file : str or None
        The file that the document was read from.
    line, page : int or None
        Where in the file the passage begins, from 1.
    headings : tuple of str
        The headings it stands under, outermost first.
    late_score : float or None
        MaxSim: the sum over query tokens of the best cosine in the passage. None in a lexical
        search.
    lexical_score : float or None
        BM25 of the query's words, 0 where the passage has none of them. None in a late search.
    """

    id: Id
    passage: int
    start: int
    end: int
    text: str
    score: float
    mean_score: float | None
    rank: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    file: str | None = None
    line: int | None = None
    page: int | None = None
    headings: tuple[str, ...] = ()
    late_score: float | None = None
    lexical_score: float | None = None


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """The hits of one query, best first.

    Attributes
    ----------
    hits : tuple of Hit
    proven : bool
        True when every allowed passage was scored, so no better hit exists on the stored codes;
        where words count, only if every word of the query was looked up.
    profile : mapping
        Where the time went: of each stage microseconds (``…_us``), how many passages (of *probe*:
        leaves) it handed on (``…_n``), and where it compared them token by token, how many tokens
        they have (``…_tokens``).
    notes : tuple of str
        What a user should know about this search, such as a query that was cut.
    """

    hits: tuple[Hit, ...] = ()
    proven: bool = True
    profile: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]


@dataclass(frozen=True, slots=True)
class Match:
    """One query token and the document token that answers it best.

    Offsets are characters; ``(0, 0)`` and an empty text stand for a special token such as [CLS].
    ``share`` is this token's part of the whole score, ``similarity / score``. ``typical`` is the
    mean similarity of the query token to all tokens of the passage: what its answer stands out
    from. Function words resemble much, so theirs stand out little.
    """

    query_text: str
    query_start: int
    query_end: int
    text: str
    start: int
    end: int
    similarity: float
    share: float
    typical: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a passage has its score: the matches, in query order, sum to ``score``.

    ``start`` and ``end`` of each match are offsets into the *document's* text; ``passage_start``
    and ``text`` say which passage was scored.
    """

    query: str
    id: Id
    passage: int
    passage_start: int
    text: str
    score: float
    matches: tuple[Match, ...]
