"""Text to token ids and character offsets: one copy for all backends."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from interlace.errors import CheckpointError, InputError
from interlace.models.checkpoint import Checkpoint
from interlace.types import IntArray

Role: TypeAlias = Literal["query", "document"]


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """What the model is given for one text, and which of it becomes rows of the matrix.

    Attributes
    ----------
    ids : (n_positions,) int64
        Special tokens and markers included.
    offsets : (n_positions, 2) int32
        Start and end in the text, in characters; (0, 0) for special tokens and markers.
    kept : (n_positions,) bool
        False where the checkpoint skips the token.
    n_cut : int
        Tokens of the text beyond the model's length.
    """

    ids: npt.NDArray[np.int64]
    offsets: IntArray
    kept: npt.NDArray[np.bool_]
    n_cut: int


@dataclass(frozen=True, slots=True)
class _Frame:
    """How one role surrounds a text, how much of it is used, and what is skipped."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    length: int
    skipped: npt.NDArray[np.bool_]


class TextTokenizer:
    """Turns texts into token ids as a checkpoint wants them; safe to use from many threads.

    The shared tokenizer is never changed after construction: cutting happens here, so that what
    was cut is known, and a text that spells a special token is ordinary text.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._path = checkpoint.tokenizer
        self._tokenizer = self._load()
        before, after = self._special_ids()
        self._frames: dict[Role, _Frame] = {
            "query": _Frame(
                before + self._ids(checkpoint.query_marker),
                after,
                checkpoint.query_length,
                self._mask(checkpoint.query_skip),
            ),
            "document": _Frame(
                before + self._ids(checkpoint.document_marker),
                after,
                checkpoint.document_length,
                self._mask(checkpoint.document_skip),
            ),
        }

    def tokens(self, text: str, role: Role) -> Tokens:
        """Tokenize one checked text for one role."""
        frame = self._frames[role]
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        content = encoding.ids[: frame.length]
        ids = np.array([*frame.before, *content, *frame.after], np.int64)
        offsets = np.zeros((len(ids), 2), np.int32)
        if content:
            first = len(frame.before)
            offsets[first : first + len(content)] = encoding.offsets[: frame.length]
        # Special tokens alone say nothing: a text without tokens of its own gets no rows.
        kept = ~frame.skipped[ids] if content else np.zeros(len(ids), np.bool_)
        return Tokens(ids, offsets, kept, len(encoding.ids) - len(content))

    def spans(self, text: str) -> IntArray:
        """Offsets of all tokens of a text, uncut and without special tokens: (n_tokens, 2)."""
        encoding: Encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return np.array(encoding.offsets, np.int32).reshape(-1, 2)

    def offsets(self, text: str, role: Role) -> IntArray:
        """Offsets of the tokens that get a row in a text's matrix: (n_tokens, 2)."""
        tokens = self.tokens(text, role)
        offsets: IntArray = tokens.offsets[tokens.kept]
        return offsets

    def _load(self) -> Tokenizer:
        try:
            tokenizer = Tokenizer.from_file(str(self._path))
        except Exception as cause:  # tokenizers raises nothing narrower
            raise CheckpointError(
                f"cannot be read as a tokenizer: {self._path} ({cause}). Fetch the model again."
            ) from cause
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        return tokenizer

    def _special_ids(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids that the tokenizer puts before and after every text."""
        probe = self._tokenizer.encode("a")
        content = probe.special_tokens_mask.index(0)
        end = len(probe.ids) - probe.special_tokens_mask[::-1].index(0)
        return tuple(probe.ids[:content]), tuple(probe.ids[end:])

    def _ids(self, *tokens: str) -> tuple[int, ...]:
        """The id of each token that is not empty."""
        found = []
        for token in filter(None, tokens):
            number = self._tokenizer.token_to_id(token)
            if number is None:
                raise CheckpointError(
                    f'token "{token}" of the settings is not in the vocabulary: {self._path}. '
                    "Settings and tokenizer must come from the same model."
                )
            found.append(number)
        return tuple(found)

    def _mask(self, skip: Collection[str]) -> npt.NDArray[np.bool_]:
        """Which ids are skipped: (n_vocabulary,)."""
        mask = np.zeros(self._tokenizer.get_vocab_size(), np.bool_)
        mask[list(self._ids(*skip))] = True
        return mask


def checked(index: int, text: object) -> str:
    """A text that can be encoded.

    Raises
    ------
    InputError
        When it is not a string, or holds half of a surrogate pair, which is no character.
    """
    if not isinstance(text, str):
        raise InputError(
            f"not a string but {type(text).__name__}: text {index}. Pass a list of strings."
        )
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise InputError(
            f"lone surrogate {text[cause.start]!a}, which is no character: text {index}, "
            f"position {cause.start}. Decode the text anew or drop it with "
            "text.encode(errors='ignore').decode()."
        ) from None
    return text


def refuse_single(texts: Iterable[object]) -> None:
    """Refuse a string where many texts are wanted: its characters would be taken for texts.

    Raises
    ------
    InputError
    """
    if isinstance(texts, str | bytes):
        raise InputError(
            "a single string where a list of texts is wanted. Put it in a list: [text]."
        )
