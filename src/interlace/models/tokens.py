"""Text to token ids and character offsets: one copy for all backends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from interlace.errors import CheckpointError, InputError
from interlace.models.checkpoint import Checkpoint, Expansion
from interlace.types import IntArray

Role: TypeAlias = Literal["query", "document"]


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """What the model is given for one text, and which of it becomes rows of the matrix.

    Attributes
    ----------
    ids : (n_positions,) int64
        Special tokens, markers and what queries are filled up with included.
    offsets : (n_positions, 2) int32
        Start and end in the text, in characters; (0, 0) for what is not of the text.
    kept : (n_positions,) bool
        False where the checkpoint skips the token.
    n_cut : int
        Tokens of the text beyond the model's length.
    attention : (n_positions,) int64 or None
        0 for positions that the others do not see; None when all are seen.
    """

    ids: npt.NDArray[np.int64]
    offsets: IntArray
    kept: npt.NDArray[np.bool_]
    n_cut: int
    attention: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class _Frame:
    """How one role surrounds a text, how much of it is used, and what is skipped.

    ``inserted`` goes behind the first token, whatever that is; ``prefix`` is tokenized with the
    text; ``limit`` is for the tokens of both.
    """

    before: tuple[int, ...]
    inserted: tuple[int, ...]
    prefix: str
    after: tuple[int, ...]
    limit: int
    skipped: npt.NDArray[np.bool_]
    expansion: Expansion | None
    fill: int


class TextTokenizer:
    """Turns texts into token ids as a checkpoint wants them; safe to use from many threads.

    The shared tokenizer is never changed after construction: cutting happens here, so that what
    was cut is known, and a text that spells a special token is ordinary text.

    Raises
    ------
    CheckpointError
        When the tokenizer's file is damaged, or lacks a token that the settings name.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._path = checkpoint.tokenizer
        self._tokenizer = self._load()
        self._before, self._after = self._special_ids()
        self._frames: dict[Role, _Frame] = {
            "query": self._frame(
                checkpoint.query_marker,
                checkpoint.query_prefix,
                checkpoint.query_length,
                checkpoint.query_skip,
                checkpoint.query_expansion,
            ),
            "document": self._frame(
                checkpoint.document_marker,
                checkpoint.document_prefix,
                checkpoint.document_length,
                checkpoint.document_skip,
                None,
            ),
        }

    def limit(self, role: Role) -> int:
        """How many tokens of a text are encoded: special tokens, marker and prefix are off."""
        frame = self._frames[role]
        return frame.limit - len(self._encode(frame.prefix)[0])

    def tokens(self, text: str, role: Role) -> Tokens:
        """Tokenize one checked text for one role."""
        frame = self._frames[role]
        uncut, spans = self._encode(frame.prefix + text)
        content = uncut[: frame.limit]
        spans = np.maximum(spans[: frame.limit] - len(frame.prefix), 0)
        said = bool(len(spans)) and bool(spans[:, 1].any())
        n_cut = len(uncut) - len(content)

        ids = [*frame.before, *content, *frame.after]
        offsets = np.zeros((len(ids), 2), np.int32)
        offsets[len(frame.before) : len(frame.before) + len(content)] = spans
        if frame.inserted:
            ids[1:1] = frame.inserted
            offsets = np.insert(offsets, 1, np.zeros((len(frame.inserted), 2), np.int32), axis=0)
        seen = len(ids)
        if frame.expansion is not None and seen < frame.expansion.length:
            ids += [frame.fill] * (frame.expansion.length - seen)
            offsets = np.concatenate([offsets, np.zeros((len(ids) - seen, 2), np.int32)])
        attention = None
        if seen < len(ids) and frame.expansion is not None and not frame.expansion.attend:
            attention = (np.arange(len(ids)) < seen).astype(np.int64)
        numbers = np.array(ids, np.int64)
        # Special tokens alone say nothing: a text without tokens of its own gets no rows.
        kept = ~frame.skipped[numbers] if said else np.zeros(len(ids), np.bool_)
        return Tokens(numbers, offsets, kept, n_cut, attention)

    def spans(self, text: str) -> IntArray:
        """Offsets of all tokens of a text, uncut and without special tokens: (n_tokens, 2)."""
        return self._encode(text)[1]

    def offsets(self, text: str, role: Role) -> IntArray:
        """Offsets of the tokens that get a row in a text's matrix: (n_tokens, 2)."""
        tokens = self.tokens(text, role)
        offsets: IntArray = tokens.offsets[tokens.kept]
        return offsets

    def _encode(self, text: str) -> tuple[list[int], IntArray]:
        """Ids of a text, and where they are in it: ``(n_tokens,)``, ``(n_tokens, 2)``."""
        stripped = text.strip() if self._checkpoint.strip else text
        shown = stripped.lower() if self._checkpoint.lowercase == "text" else stripped
        encoding = self._tokenizer.encode(shown, add_special_tokens=False)
        spans = np.array(encoding.offsets, np.int32).reshape(-1, 2)
        if len(shown) != len(stripped):
            # A letter that is two in lower case: both stand for it.
            sources = np.repeat(np.arange(len(stripped)), [len(one.lower()) for one in stripped])
            spans[:, 0] = np.append(sources, len(stripped))[spans[:, 0]]
            spans[:, 1] = np.append(0, sources + 1)[spans[:, 1]]
        return encoding.ids, spans + np.int32(text.index(stripped))

    def _load(self) -> Tokenizer:
        try:
            tokenizer = Tokenizer.from_file(str(self._path))
        except BaseException as cause:  # tokenizers raises nothing narrower, panics included
            if isinstance(cause, KeyboardInterrupt | SystemExit | MemoryError):
                raise
            raise CheckpointError(
                f"cannot be read as a tokenizer: {self._path} ({cause}). Fetch the model again."
            ) from cause
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        if self._checkpoint.lowercase == "tokenizer":
            own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
            tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
        if isinstance(tokenizer.model, models.Unigram):
            _part_specials(tokenizer)
        return tokenizer

    def _special_ids(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids that the tokenizer puts before and after every text."""
        probe = self._tokenizer.encode("a")
        if 0 not in probe.special_tokens_mask:
            raise CheckpointError(
                f'the tokenizer makes no token of "a": {self._path}. Fetch the model again.'
            )
        content = probe.special_tokens_mask.index(0)
        end = len(probe.ids) - probe.special_tokens_mask[::-1].index(0)
        return tuple(probe.ids[:content]), tuple(probe.ids[end:])

    def _frame(
        self,
        marker: str,
        prefix: str,
        length: int,
        skip: tuple[str, ...],
        expansion: Expansion | None,
    ) -> _Frame:
        inserted = (self._id(marker),) if marker else ()
        leading, prefix = self._leading(prefix)
        before = self._before + leading
        n_prefix = len(self._encode(prefix)[0])
        limit = length + n_prefix
        if self._checkpoint.lengths_count_all:
            limit = length - len(before) - len(inserted) - len(self._after)
            if limit <= n_prefix:
                raise self._checkpoint.fault(
                    "query_length or document_length",
                    f"leaves no room for a text: {length} with special tokens, marker and prefix",
                )
        return _Frame(
            before,
            inserted,
            prefix,
            self._after,
            limit,
            self._mask(skip),
            expansion,
            0 if expansion is None else self._fill(expansion.token),
        )

    def _leading(self, prefix: str) -> tuple[tuple[int, ...], str]:
        """The special token at the beginning of a prefix, as an id, and the rest of it.

        In a text it would be ordinary text; and it parts what is before from what comes after.
        """
        specials = {
            token.content: number
            for number, token in self._tokenizer.get_added_tokens_decoder().items()
            if token.special and token.content and prefix.startswith(token.content)
        }
        if not specials:
            return (), prefix
        longest = max(specials, key=len)
        return (specials[longest],), prefix.removeprefix(longest)

    def _id(self, token: str) -> int:
        """The id of a token that must be there."""
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise CheckpointError(
                f'token "{token}" of the settings is not in the vocabulary: {self._path}. '
                "Settings and tokenizer must come from the same model."
            )
        return number

    def _fill(self, token: str | int) -> int:
        """The id of what queries are filled up with."""
        if isinstance(token, str):
            if token:
                return self._id(token)
            token = next(iter(self._known("[MASK]", "<mask>")), -1)
        if self._tokenizer.id_to_token(token) is None if token >= 0 else True:
            raise self._checkpoint.fault("mask_token", "names no token of the vocabulary")
        return token

    def _mask(self, skip: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        """Which ids are skipped: (n_ids,)."""
        mask = np.zeros(1 + max(self._tokenizer.get_vocab().values(), default=0), np.bool_)
        instead = ("[UNK]", "<unk>") if self._checkpoint.skip_rule == "unknown" else ()
        for one in skip:
            if self._checkpoint.skip_rule == "encoded":
                mask[self._encode(one)[0][:1]] = True
            elif self._checkpoint.skip_rule == "exact":
                mask[self._id(one)] = True
            else:
                mask[self._known(one, *instead)] = True
        return mask

    def _known(self, *tokens: str) -> list[int]:
        """The id of the first of some tokens that is there, if one is."""
        found = (self._tokenizer.token_to_id(one) for one in tokens)
        return [number for number in found if number is not None][:1]


def _part_specials(tokenizer: Tokenizer) -> None:
    """Part the first character of a special token from the rest where a text spells it.

    A Unigram model has the special tokens among its pieces, and would find them by itself.
    """
    spelled = "|".join(
        f"{re.escape(token.content[0])}(?={re.escape(token.content[1:])})"
        for token in tokenizer.get_added_tokens_decoder().values()
        if token.special and len(token.content) > 1
    )
    if spelled:
        own = [] if tokenizer.pre_tokenizer is None else [tokenizer.pre_tokenizer]
        split = pre_tokenizers.Split(Regex(spelled), "merged_with_previous")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*own, split])


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
