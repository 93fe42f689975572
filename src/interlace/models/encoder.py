"""A loaded checkpoint: texts in, matrices out."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from interlace import kernels
from interlace.errors import CheckpointError, InputError, SettingsError
from interlace.models import backends
from interlace.models.backends import DEFAULT, Batching, Running
from interlace.models.checkpoint import Checkpoint
from interlace.models.head import normalised
from interlace.models.hub import BUILT_IN, located
from interlace.models.layout import PRECISIONS
from interlace.models.tokens import Role, TextTokenizer, Tokens, checked, refuse_single
from interlace.progress import Progress, silent
from interlace.threads import n_cores
from interlace.types import Encoded, FloatMatrix, IntArray

if TYPE_CHECKING:
    from interlace.models.export import ModelReport
    from interlace.models.judging import Comparison

#: How many texts a thread may be ahead of the one that is handed out next.
LOOK_AHEAD = 4

#: How many texts a backend that batches is given at once, to sort them by length.
TEXTS_AT_ONCE = 256


class Encoder:
    """Turns texts into matrices of unit token embeddings.

    A text's matrix is the same, byte for byte, whatever is encoded beside it and on however many
    threads; with torch, which runs texts in batches, up to 1e-5 in float32. One encoder may be used
    from many threads at once.

    Make one with :meth:`load`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        backend: str = "auto",
        n_threads: int | None = None,
        name: str | None = None,
        revision: str | None = None,
        dim: int | None = None,
        running: Running = DEFAULT,
    ) -> None:
        if n_threads is not None and (
            isinstance(n_threads, bool) or not isinstance(n_threads, int) or n_threads < 1
        ):
            raise SettingsError(f"must be a whole number from 1, not {n_threads!r}: n_threads.")
        self._checkpoint = checkpoint
        self._dim = _checked_dim(dim, checkpoint)
        self._name = name or checkpoint.name
        self._revision = revision or checkpoint.revision
        self._n_threads = n_threads or n_cores()
        self._tokenizer = TextTokenizer(checkpoint)
        self._backend_name, self._backend = backends.load(backend, checkpoint, running)

    @classmethod
    def load(
        cls,
        name_or_folder: str | os.PathLike[str] = BUILT_IN,
        *,
        backend: str = "auto",
        n_threads: int | None = None,
        revision: str | None = None,
        precision: str | None = None,
        dim: int | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> Encoder:
        """Load a model.

        Parameters
        ----------
        name_or_folder : str or path
            ``"mini"`` for the model inside the package, a model folder of any known format, or a
            name on the Hugging Face hub (``"owner/model"``), which is fetched once.
        backend : str
            What runs the model: ``"native"`` (C++, for graphs like the built-in model's),
            ``"onnx"`` (onnxruntime), ``"mlx"`` (of the extra ``mlx``, for Apple silicon),
            ``"torch"`` (sentence-transformers, of the extra ``torch``), or ``"auto"``, the first of
            them that is here and can.
        n_threads : int, optional
            How many texts are encoded at once; all cores when not given.
        revision : str, optional
            On the hub, the branch, tag or commit; elsewhere, the revision that must be found.
        precision : str, optional
            Of the weights: ``"float32"``, ``"float16"`` or ``"int8"`` for the ONNX graphs that a
            model has, ``"float32"``, ``"float16"`` or ``"bfloat16"`` with MLX and torch,
            ``"int8"`` or ``"int4"`` with MLX, which rounds weights as it loads them; the most
            precise when not given.
        dim : int, optional
            Width of a token embedding: one of those that the model was trained to be cut to
            (Matryoshka), which :attr:`dims` lists; all of it when not given.
        token : str, optional
            For the hub's private models; by default what ``hf auth login`` or ``HF_TOKEN`` left.
        local_files_only : bool
            Whether the hub is left alone: only what was fetched before is looked at.
        device : str
            ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; all but the first want torch, and
            ``"auto"`` is with MLX and torch the best that is here.
        trust_remote_code : bool
            Whether Python code that comes with a model's weights may run, with torch.

        Raises
        ------
        CheckpointError
            When there is no such model, or its files are damaged or contradict each other.
        MissingExtra
            When the model needs MLX or torch, and it is not installed.
        RemoteError
            When the hub cannot be reached, or is not to be, and the model was not fetched before.
        SettingsError
            When ``backend``, ``n_threads``, ``precision``, ``dim`` or ``device`` cannot be used.

        Source
        ------
        Matryoshka Representation Learning, arXiv 2205.13147: the first coordinates, of unit length.
        """
        if precision not in (None, *PRECISIONS):
            raise SettingsError(
                f"must be one of {', '.join(PRECISIONS)}, not {precision!r}: precision."
            )
        running = Running(device=device, precision=precision, trust_remote_code=trust_remote_code)
        weights = backend in ("mlx", "torch") or device not in ("auto", "cpu")
        with located(
            name_or_folder,
            revision,
            precision=precision,
            weights=weights,
            token=token,
            local_files_only=local_files_only,
        ) as found:
            folder, name, commit = found
            checkpoint = Checkpoint.read(folder, precision)
            if commit is None and revision not in (None, checkpoint.revision):
                raise CheckpointError(
                    f'revision "{revision}" wanted, "{checkpoint.revision}" found: {folder}. '
                    "Pass the folder of that revision."
                )
            return cls(
                checkpoint,
                backend=backend,
                n_threads=n_threads,
                name=name,
                revision=commit,
                dim=dim,
                running=running,
            )

    @classmethod
    def export(
        cls,
        name_or_folder: str | os.PathLike[str],
        to: str | os.PathLike[str],
        *,
        int8: bool = False,
        on: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        token: str | None = None,
        trust_remote_code: bool = False,
        n_threads: int | None = None,
        progress: Progress = silent,
    ) -> ModelReport:
        """Make a model folder that runs without torch: graph, tokenizer and settings.

        The extra ``torch`` is needed here, and nowhere afterwards.

        Parameters
        ----------
        name_or_folder, revision, token, trust_remote_code, n_threads
            As for :meth:`load`.
        to : path
            A new folder.
        int8 : bool
            Round weights to 8 bits, and activations while it runs: a quarter of the size, and
            quicker. The report says what it costs.
        on : path, optional
            A folder with a set of judged queries in BEIR's format (``corpus.jsonl``,
            ``queries.jsonl``, ``qrels/test.tsv``), on which nDCG@10 is measured.
        progress : Progress
            Is told how many documents of ``on`` are scored.

        Raises
        ------
        InputError
            When there is something at ``to``, or ``on`` is no such set.
        MissingExtra
            When the extra ``torch`` is not installed.
        CheckpointError
            When the model cannot be loaded or exported, or its graph computes something else.
        SettingsError
            When the model has no weights for torch: it is exported already.
        """
        from interlace.models.backends.torch import TorchBackend
        from interlace.models.export import export

        encoder = cls.load(
            name_or_folder,
            backend="torch",
            device="cpu",
            revision=revision,
            token=token,
            trust_remote_code=trust_remote_code,
            n_threads=n_threads,
        )
        backend = encoder._backend
        assert isinstance(backend, TorchBackend)
        return export(
            encoder,
            backend,
            encoder._checkpoint,
            Path(to),
            int8=int8,
            on=None if on is None else Path(on),
            progress=progress,
        )

    @property
    def name(self) -> str:
        """What :meth:`load` takes to load this model again: a name, or the path of a folder."""
        return self._name

    @property
    def revision(self) -> str:
        """The model's revision; on the hub, the commit."""
        return self._revision

    @property
    def dim(self) -> int:
        """Width of a token embedding."""
        return self._dim

    @property
    def dims(self) -> tuple[int, ...]:
        """The widths that the model may be loaded with, its own last."""
        return tuple(sorted({*self._checkpoint.matryoshka_dims, self._checkpoint.dim}))

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of weights, tokenizer and settings, and of the width when it is cut."""
        return self._of_width(self._checkpoint.fingerprint)

    @property
    def origin(self) -> str:
        """The fingerprint of the same model before it was exported or rounded; else its own."""
        return self._of_width(self._checkpoint.origin or self._checkpoint.fingerprint)

    def __repr__(self) -> str:
        return f"<Encoder {self._name}: {self.backend}, {self.precision}, {self.device}>"

    def _of_width(self, whole: str) -> str:
        if self._dim == self._checkpoint.dim:
            return whole
        return hashlib.sha256(f"{whole} cut to {self._dim}".encode()).hexdigest()

    @property
    def backend(self) -> str:
        """The name of what runs the model."""
        return self._backend_name

    @property
    def precision(self) -> str:
        """Of the weights as they run: ``"float32"``, ``"int8"`` …."""
        return self._backend.precision

    @property
    def device(self) -> str:
        """Where the model runs: ``"cpu"``, ``"cuda"``, ``"mps"``, or with MLX ``"gpu"``."""
        return self._backend.device

    @property
    def n_threads(self) -> int:
        """How many texts are encoded at once."""
        return self._n_threads

    @property
    def query_length(self) -> int:
        """How many tokens of a query are encoded, special tokens not counted; the rest is cut."""
        return self._tokenizer.limit("query")

    @property
    def document_length(self) -> int:
        """How many tokens of a text are encoded, special tokens not counted; the rest is cut."""
        return self._tokenizer.limit("document")

    def encode_query(
        self, texts: Iterable[str], *, progress: Progress = silent
    ) -> list[FloatMatrix]:
        """Encode queries.

        Parameters
        ----------
        texts : iterable of str
        progress : Progress
            Is told how many texts are done.

        Returns
        -------
        list of (q_tokens, dim) float32
            Unit rows, one matrix a text; a text without tokens has none, ``(0, dim)``. Tokens
            beyond ``query_length`` are left out: :meth:`queries` says how many.

        Raises
        ------
        InputError
            When a text is not a string or holds a lone surrogate.
        """
        return self._matrices(texts, "query", progress)

    def encode_document(
        self, texts: Iterable[str], *, progress: Progress = silent
    ) -> list[FloatMatrix]:
        """Encode documents: as :meth:`encode_query`, with ``document_length`` in its place.

        Returns
        -------
        list of (n_tokens, dim) float32

        Raises
        ------
        InputError
            When a text is not a string or holds a lone surrogate.
        """
        return self._matrices(texts, "document", progress)

    def compare(
        self,
        other: Encoder,
        *,
        on: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
    ) -> Comparison:
        """Tell how near this encoder is to another of the same model, such as one not rounded.

        Parameters
        ----------
        other : Encoder
            The same model in another precision, or run by another backend.
        on : path, optional
            A folder with a set of judged queries in BEIR's format, on which both are measured.
        progress : Progress
            Is told how many documents of ``on`` are scored.

        Raises
        ------
        InputError
            When the two tokenize differently, or ``on`` is no such set.
        """
        from interlace.models.judging import compare

        return compare(self, other, None if on is None else Path(on), progress)

    def queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """Encode a stream of queries, in order, with token ids and offsets; memory is bounded.

        Raises
        ------
        InputError
            While iterating, when a text is not a string or holds a lone surrogate.
        """
        refuse_single(texts)
        return self._stream(texts, "query")

    def documents(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """Encode a stream of documents, in order, with token ids and offsets; memory is bounded.

        Raises
        ------
        InputError
            While iterating, when a text is not a string or holds a lone surrogate.
        """
        refuse_single(texts)
        return self._stream(texts, "document")

    def spans(self, text: str) -> IntArray:
        """Where the tokens of a text are, uncut: ``(n_tokens, 2)`` int32, in characters.

        Special tokens are left out; tokens that get no row in a matrix (punctuation) are not.

        Raises
        ------
        InputError
            When the text is not a string or holds a lone surrogate.
        """
        return self._tokenizer.spans(checked(0, text))

    def offsets(self, text: str) -> IntArray:
        """Where the rows of a document's matrix come from, without running the model.

        Returns
        -------
        (n_tokens, 2) int32
            Start and end in the text, in characters, a line for each row of what
            :meth:`encode_document` makes of it; (0, 0) for special tokens.

        Raises
        ------
        InputError
            When the text is not a string or holds a lone surrogate.
        """
        return self._tokenizer.offsets(checked(0, text), "document")

    def count(self, texts: Iterable[str]) -> list[int]:
        """How many tokens each text has, as :meth:`spans` counts them.

        Raises
        ------
        InputError
            When a text is not a string or holds a lone surrogate.
        """
        refuse_single(texts)
        return [len(self._tokenizer.spans(checked(i, text))) for i, text in enumerate(texts)]

    def similarity(
        self,
        queries: Sequence[str] | Sequence[FloatMatrix],
        documents: Sequence[str] | Sequence[FloatMatrix],
    ) -> FloatMatrix:
        """MaxSim of every query with every document.

        Parameters
        ----------
        queries, documents : sequence of str, or of (tokens, dim) float32
            Texts are encoded first; matrices are taken as they are.

        Returns
        -------
        (n_queries, n_documents) float32
            The sum over a query's tokens of the best dot product in the document; -1 for each
            query token when the document has no tokens.

        Raises
        ------
        InputError
            When a text cannot be encoded or a matrix has another width.

        Source
        ------
        ColBERT, arXiv 2004.12832, equation 3.
        """
        query_matrices = self._as_matrices(queries, "query")
        document_matrices = self._as_matrices(documents, "document")
        offsets = np.zeros(len(document_matrices) + 1, np.int64)
        np.cumsum([len(m) for m in document_matrices], out=offsets[1:])
        tokens = np.concatenate([np.zeros((0, self.dim), np.float32), *document_matrices])
        table = kernels.table()
        scores = np.zeros((len(query_matrices), len(document_matrices)), np.float32)
        for row, query in zip(scores, query_matrices, strict=True):
            row[:] = table.maxsim(query, tokens, offsets, self._n_threads)
        return scores

    def _as_matrices(
        self, given: Sequence[str] | Sequence[FloatMatrix], role: Role
    ) -> list[FloatMatrix]:
        """Texts encoded, matrices checked."""
        refuse_single(given)
        texts = [item for item in given if isinstance(item, str)]
        if len(texts) == len(given):
            return self._matrices(texts, role, silent)
        return [self._checked_matrix(i, item, role) for i, item in enumerate(given)]

    def _checked_matrix(self, index: int, item: object, role: Role) -> FloatMatrix:
        if not isinstance(item, np.ndarray):
            raise InputError(
                f"neither text nor matrix but {type(item).__name__}: {role} {index}. "
                "Pass only strings, or only arrays."
            )
        if item.ndim != 2 or item.shape[1] != self.dim:
            raise InputError(
                f"matrix of shape {item.shape}, not (tokens, {self.dim}): {role} {index}. "
                "Pass what this model encoded."
            )
        return np.ascontiguousarray(item, np.float32)

    def _matrices(self, texts: Iterable[str], role: Role, progress: Progress) -> list[FloatMatrix]:
        refuse_single(texts)
        total = len(texts) if isinstance(texts, Sized) else None
        matrices: list[FloatMatrix] = []
        for encoded in self._stream(texts, role):
            matrices.append(encoded.matrix)
            progress("encode", len(matrices), total)
        return matrices

    def _stream(self, texts: Iterable[str], role: Role) -> Iterator[Encoded]:
        """Encode in order, a few texts ahead on as many threads as there are texts for."""
        numbered = enumerate(texts)
        if isinstance(self._backend, Batching):
            yield from self._batched(self._backend, numbered, role)
            return
        first = list(islice(numbered, self._n_threads))
        if len(first) < 2:
            yield from (self._encode(i, text, role) for i, text in chain(first, numbered))
            return
        # A pool for this call alone: no thread outlives it, so a later fork finds none.
        pool = ThreadPoolExecutor(len(first), thread_name_prefix="interlace-encode")
        try:
            yield from self._ahead(pool, chain(first, numbered), role)
        finally:
            pool.shutdown(cancel_futures=True)

    def _batched(
        self, backend: Batching, numbered: Iterator[tuple[int, str]], role: Role
    ) -> Iterator[Encoded]:
        while some := list(islice(numbered, TEXTS_AT_ONCE)):
            tokens = [self._tokenizer.tokens(checked(i, text), role) for i, text in some]
            spoken = [one for one in tokens if one.kept.any()]
            rows = iter(backend.run_many([(one.ids, one.attention) for one in spoken]))
            for one in tokens:
                yield self._encoded(one, next(rows)) if one.kept.any() else self._nothing(one)

    def _ahead(
        self, pool: ThreadPoolExecutor, numbered: Iterable[tuple[int, str]], role: Role
    ) -> Iterator[Encoded]:
        pending: deque[Future[Encoded]] = deque()
        for i, text in numbered:
            pending.append(pool.submit(self._encode, i, text, role))
            if len(pending) > LOOK_AHEAD * self._n_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _encode(self, index: int, text: str, role: Role) -> Encoded:
        tokens = self._tokenizer.tokens(checked(index, text), role)
        if not tokens.kept.any():
            return self._nothing(tokens)
        return self._encoded(tokens, self._backend.run(tokens.ids, tokens.attention))

    def _encoded(self, tokens: Tokens, rows: FloatMatrix) -> Encoded:
        """A text of which the model made rows, one a position."""
        kept = tokens.kept
        ids: npt.NDArray[np.int32] = tokens.ids[kept].astype(np.int32)
        return Encoded(self._cut(rows[kept]), ids, tokens.offsets[kept], tokens.n_cut)

    def _cut(self, rows: FloatMatrix) -> FloatMatrix:
        if self._dim == self._checkpoint.dim:
            return rows
        return normalised(np.ascontiguousarray(rows[:, : self._dim]))

    def _nothing(self, tokens: Tokens) -> Encoded:
        """A text without tokens of its own."""
        return Encoded(
            np.zeros((0, self.dim), np.float32),
            np.zeros(0, np.int32),
            np.zeros((0, 2), np.int32),
            tokens.n_cut,
        )


def _checked_dim(dim: int | None, checkpoint: Checkpoint) -> int:
    """The width wanted; refuse one that the model was not trained for."""
    if dim is None or dim == checkpoint.dim:
        return checkpoint.dim
    allowed = checkpoint.matryoshka_dims
    if not allowed:
        raise SettingsError(
            f"dim is {dim!r}, but the model's is {checkpoint.dim}, and it names no others "
            f"(matryoshka_dims) that it was trained for: {checkpoint.name}. Leave dim out."
        )
    if isinstance(dim, bool) or dim not in allowed:
        widths = ", ".join(map(str, sorted({*allowed, checkpoint.dim})))
        raise SettingsError(
            f"dim is {dim!r}, none that the model was trained for: {checkpoint.name}. "
            f"Choose one of {widths}."
        )
    return dim
