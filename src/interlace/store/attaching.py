"""Taking over what was built elsewhere: a codec, and segments made against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from interlace import files
from interlace.errors import CollectionError, InputError, ModelMismatch
from interlace.store.catalog import Catalog
from interlace.store.folder import Folder
from interlace.store.parts import Parts
from interlace.store.rows import GenerationRow
from interlace.store.runs import copy
from interlace.store.segment import FRESH, Numbers, Segment, rows_path
from interlace.store.transaction import Transaction
from interlace.store.writing import append_rows, write_fresh, write_settled

_SAME = ("dim", "codec", "seed")


def adopt_codec(
    folder: Folder,
    let_go: Callable[[], None],
    other: Folder,
    generation: GenerationRow | None,
) -> bool:
    """Take over the codec of another collection as one commit; whether anything was new."""
    with folder.shape_lock("attaching"), Transaction(folder, let_go) as transaction:
        folder = folder.at(transaction.catalog, transaction.number)
        _check_same(folder, other)
        if generation is None:
            raise CollectionError(
                f"nothing is settled yet: {other.path}. Settle it first: that trains its codec."
            )
        transaction.sweep()
        _copy_codec(folder, transaction, other, generation)
        changed = transaction.changed
        if changed:
            transaction.commit("adopt")
        return changed


def attach(
    folder: Folder,
    let_go: Callable[[], None],
    other: Folder,
    other_catalog: Catalog,
    number: int,
) -> int:
    """Take over all live documents of another collection as one commit; how many.

    Codes are copied, never decoded; insertion numbers go on from the target's.
    """
    generation = other_catalog.generation(number)
    dead = other_catalog.dead_passages(number)
    with folder.shape_lock("attaching"), Transaction(folder, let_go) as transaction:
        folder = folder.at(transaction.catalog, transaction.number)
        _check_same(folder, other)
        transaction.sweep()
        if generation is not None:
            _copy_codec(folder, transaction, other, generation)
        other.check(other_catalog.segments(number))
        first_document, first_passage = transaction.next_document, transaction.next_passage
        n_documents = _copy_rows(transaction, other_catalog, number)
        for run in other_catalog.runs(number):
            copy(run, other_catalog, transaction.catalog, first_passage, transaction.number)
        for row in other_catalog.segments(number):
            segment = _renumbered(other.segment(row), first_passage, first_document)
            parts = Parts([segment], dead + first_passage)
            if not len(parts):
                continue
            if row.kind == FRESH:
                added = write_fresh(folder.path, parts.part(0, len(parts)))
            else:
                added = write_settled(folder.path, parts, row.generation or "", folder.width)
            transaction.add_segment(added)
        last = other_catalog.at(number)
        assert last is not None
        transaction.next_document += last.next_document
        transaction.next_passage += last.next_passage
        if n_documents:
            transaction.commit("attach")
        return n_documents


def _check_same(folder: Folder, other: Folder) -> None:
    mine, theirs = folder.settings, other.settings
    for name in _SAME:
        if getattr(mine, name) != getattr(theirs, name):
            raise InputError(
                f"the collections differ in {name}: {folder.path} has {getattr(mine, name)!r}, "
                f"{other.path} has {getattr(theirs, name)!r}. Build both with the same settings."
            )
    if mine.model != theirs.model:
        raise ModelMismatch(
            f"the collections have different models: {folder.path} has {mine.model}, "
            f"{other.path} has {theirs.model}. Rebuild one of them with the model of the other."
        )


def _copy_codec(
    folder: Folder, transaction: Transaction, other: Folder, theirs: GenerationRow
) -> None:
    """Copy the rows that are not here; a longer codec serves the segments of a shorter one."""
    mine = transaction.catalog.generation(transaction.number)
    if mine is not None:
        n_common = min(len(mine.chunks), len(theirs.chunks))
        if mine.name != theirs.name or mine.chunks[:n_common] != theirs.chunks[:n_common]:
            raise CollectionError(
                f"the codecs were trained or grown apart: {folder.path} has {mine.name}, "
                f"{other.path} has {theirs.name}. Give the other collection this codec before "
                "anything is added to it (Store.train_like)."
            )
    else:
        mine = theirs._replace(chunks=())
        transaction.catalog.add_generation(theirs.name, theirs.description, transaction.number)
    other.check_codec(theirs)
    append_rows(
        folder.path,
        mine,
        {
            array: files.open_rows(
                rows_path(other.path, theirs.name, array), theirs.n_bytes(array)
            )[mine.n_bytes(array) :]
            for array in theirs.arrays
        },
    )
    n_known = len(mine.chunks)
    for number, chunk in enumerate(theirs.chunks[n_known:], n_known):
        transaction.catalog.add_chunk(theirs.name, number, chunk, transaction.number)


def _copy_rows(transaction: Transaction, other: Catalog, number: int) -> int:
    """Copy the rows of live documents, with insertion numbers shifted.

    Their sources stay the other's: each file is followed by one collection.
    """
    catalog, n_documents = transaction.catalog, 0
    for row, passages in other.whole_documents(number):
        if catalog.known([row.id]):
            raise InputError(
                f"id {row.id!r} is in both collections: {other.path}. Delete it from one of them."
            )
        document = row.number + transaction.next_document
        catalog.add_documents([row._replace(number=document)], transaction.number)
        catalog.add_passages(
            (
                passage._replace(
                    number=passage.number + transaction.next_passage, document=document
                )
                for passage in passages
            ),
            transaction.number,
        )
        n_documents += 1
        transaction.n_passages += len(passages)
    transaction.n_documents += n_documents
    return n_documents


def _renumbered(segment: Segment, first_passage: int, first_document: int) -> Segment:
    shifted: dict[str, Numbers] = {
        "passages": segment.passages + first_passage,
        "documents": segment.documents + first_document,
    }
    return dataclasses.replace(segment, arrays={**segment.arrays, **shifted})
