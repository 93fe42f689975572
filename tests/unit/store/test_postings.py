"""Posting lists are what a plain reading of the passages gives, however they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace.kernels import GAPS
from interlace.store import postings

LEAVES = [0, 1, 255, 256, 900, 16_777_215]


def plain(passages: dict[int, list[int]]) -> dict[int, list[int]]:
    """Of each leaf the passages that have it."""
    found: dict[int, list[int]] = {}
    for ordinal, leaves in sorted(passages.items()):
        for leaf in sorted(set(leaves)):
            found.setdefault(leaf, []).append(ordinal)
    return dict(sorted(found.items()))


def read(lists: postings.Lists) -> dict[int, list[int]]:
    """What the arrays say, word by word, as docs/reference/format.md tells."""
    words = np.concatenate([np.empty(0, np.uint16), *lists.gaps()]).tolist()
    found: dict[int, list[int]] = {}
    for cell in range(len(lists.list_cells) - 1):
        for at in range(lists.list_cells[cell], lists.list_cells[cell + 1]):
            ordinal, leaf = 0, cell << 8 | int(lists.list_places[at])
            found[leaf] = []
            for word in words[lists.list_offsets[at] : lists.list_offsets[at + 1]]:
                ordinal += word if word < GAPS else (word - GAPS + 1) * GAPS
                if word < GAPS:
                    found[leaf].append(ordinal)
    return found


def lists_of(passages: dict[int, list[int]], n: int, block: int) -> postings.Lists:
    def blocks():
        for first in range(0, n, block):
            lengths = np.zeros(min(n - first, block), np.int64)
            some = {
                i: leaves for i, leaves in sorted(passages.items()) if first <= i < first + block
            }
            for i, leaves in some.items():
                lengths[i - first] = len(leaves)
            heads = [leaf << 8 | 7 for leaves in some.values() for leaf in leaves]
            yield np.append(0, np.cumsum(lengths)), np.array(heads, np.uint32)

    return postings.Lists(blocks)


@settings(deadline=None, max_examples=60)
@given(
    passages=st.dictionaries(
        st.integers(0, 60),
        st.lists(st.sampled_from(LEAVES)),
        max_size=20,
    ),
    block=st.sampled_from([1, 3, 64]),
    at_once=st.sampled_from([1, 4, 1 << 26]),
)
def test_lists_are_what_passages_have(passages, block, at_once):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(postings, "_WORDS_AT_ONCE", at_once)
        assert read(lists_of(passages, 61, block)) == plain(passages)


def test_a_gap_of_any_length_is_told():
    gaps = [0, GAPS - 1, GAPS, GAPS + 1, 256 * GAPS, 257 * GAPS + 5, 1]
    places = np.cumsum(gaps).tolist()
    passages = {place: [3, 5] if place else [5] for place in places}
    found = lists_of(passages, places[-1] + 1, 1 << 16)
    assert read(found) == plain(passages)
    ahead = [0, 0, 1, 1, 1, 2, 0]
    assert found.list_offsets.tolist() == [0, 6 + sum(ahead), 6 + 7 + 2 * sum(ahead)]


def test_no_tokens_make_no_lists():
    found = lists_of({}, 5, 2)
    assert read(found) == {}
    assert found.list_cells.tolist() == found.list_offsets.tolist() == [0]
