"""The queries that were encoded last, for those that come again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from interlace.types import Encoded

#: What an entry takes besides its text and its arrays, roughly.
_ENTRY_BYTES: Final = 600


class Remembered:
    """Encoded queries by their texts, those used last; safe to use from many threads.

    Parameters
    ----------
    n_bytes_max
        Bounds what they take together, texts included; 0: nothing is remembered.
    """

    def __init__(self, n_bytes_max: int) -> None:
        self._n_bytes_max, self._n_bytes = n_bytes_max, 0
        self._found: OrderedDict[str, Encoded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, text: str) -> Encoded | None:
        """What a query was encoded to; None when it is not remembered."""
        with self._lock:
            if text in self._found:
                self._found.move_to_end(text)
            return self._found.get(text)

    def put(self, text: str, encoded: Encoded) -> None:
        """Remember a query, and forget those not used for longest where there is no room."""
        n_bytes = _n_bytes(text, encoded)
        if n_bytes > self._n_bytes_max:
            return
        encoded.matrix.flags.writeable = False  # all who ask get this one
        with self._lock:
            if text in self._found:
                return
            self._found[text] = encoded
            self._n_bytes += n_bytes
            while self._n_bytes > self._n_bytes_max:
                self._n_bytes -= _n_bytes(*self._found.popitem(last=False))


def _n_bytes(text: str, encoded: Encoded) -> int:
    arrays = (encoded.matrix, encoded.token_ids, encoded.offsets)
    return _ENTRY_BYTES + 4 * len(text) + sum(one.nbytes for one in arrays if one is not None)
