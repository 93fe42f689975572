"""What the public functions ask of their arguments, refused before anything is done."""

from __future__ import annotations

from typing import Final

import numpy as np

from interlace import store, text
from interlace.errors import Corrupt, InputError, SettingsError

_BITS: Final = (1, 2, 4)


def check_iterable(values: object, name: str) -> None:
    """Refuse what cannot be gone through, before anything is done."""
    if not hasattr(values, "__iter__") and not hasattr(values, "__getitem__"):
        raise InputError(
            f"{name} must be a list or another iterable, not {type(values).__name__}. "
            "Pass one item for each."
        )


def check_k(k: object) -> None:
    """Refuse what is no number of hits."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InputError(f"k is {k!r}. It must be a whole number, at least 1.")


def check_bits(bits: object) -> None:
    """Refuse what no coordinate can take."""
    if isinstance(bits, bool) or not isinstance(bits, int) or bits not in _BITS:
        raise SettingsError(f"bits is {bits!r}. Allowed are 1, 2 and 4.")


def check_query_cache(n_bytes: object) -> None:
    """Refuse what is no number of bytes for encoded queries."""
    if isinstance(n_bytes, bool) or not isinstance(n_bytes, int) or n_bytes < 0:
        raise SettingsError(
            f"query_cache_bytes is {n_bytes!r}. It must be a whole number; 0 keeps none."
        )


def check_passage_tokens(wanted: int | None, tokens_max: int | None) -> int | None:
    """How many tokens a passage has at most; as many as the model reads where nothing is said."""
    if wanted is None:
        return tokens_max
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise SettingsError(f"passage_tokens is {wanted!r}. It must be a whole number from 1.")
    if tokens_max is None:
        raise SettingsError("passage_tokens needs a model that tells its tokens. Leave it out.")
    if wanted > tokens_max:
        raise SettingsError(
            f"passage_tokens is {wanted}, but the model reads {tokens_max} tokens. "
            f"Choose at most {tokens_max}."
        )
    return wanted


def splitting_of(settings: store.Settings) -> text.Splitting:
    """How a collection cuts documents.

    Raises
    ------
    Corrupt
        When its settings tell nothing that can be.
    """
    try:
        return text.Splitting(**settings.passages)
    except (TypeError, SettingsError) as error:
        raise Corrupt(
            "the catalog is damaged: its settings: expected how documents are cut, found: "
            f"{error} Restore a backup, or index the documents again."
        ) from error
