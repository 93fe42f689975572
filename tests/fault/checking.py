"""Whether a collection is what it must be, after whatever happened to it."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import storing
from steps import Model, backup_folder

from interlace import store
from interlace.store.database import FILE_NAME
from interlace.types import Id

COSINE_MIN = {"fresh": 0.999, "residual4": 0.95, "residual2": 0.8, "residual1": 0.55}
"""Mean cosine of a passage's decoded embeddings to those that were added, at the least: that of a
single token, which the codec was not trained on, of 16 coordinates."""

COSINE_MEAN = {"residual4": 0.985, "residual2": 0.93, "residual1": 0.8}
"""And of all settled passages together."""


class Stored(NamedTuple):
    """What a passage is stored as: ``bits`` stay the same as long as ``how`` does."""

    how: tuple[str, str | None]
    bits: str


Key = tuple[Id, int, int]
Memory = dict[Key, Stored]


def live(opened: store.Store) -> dict[Id, Any]:
    """What a reader of the newest commit gets."""
    snapshot = opened.snapshot()
    return snapshot.documents(list(snapshot.ids()))


def expected(model: Model) -> dict[Id, Any]:
    """What it must get."""
    return {id_: version.document(id_) for id_, version in model.items()}


def n_passages(opened: store.Store) -> Counter[Id]:
    """How many passages each document has, of those that have any."""
    snapshot = opened.snapshot()
    return Counter(
        one.id for one in snapshot.passages(np.arange(snapshot.n_rows)[_alive(snapshot)])
    )


def _alive(snapshot: store.Snapshot) -> np.ndarray:
    if snapshot.alive is None:
        return np.ones(snapshot.n_rows, bool)
    return np.unpackbits(snapshot.alive, count=snapshot.n_rows, bitorder="little").astype(bool)


def same(opened: store.Store, model: Model) -> None:
    """Refuse documents other than those of a model."""
    found = live(opened)
    assert found == expected(model), difference(found, [model])


def check(opened: store.Store, allowed: list[Model], memory: Memory) -> int:
    """Which of the allowed models is there, whole; nothing else may be wrong.

    ``memory`` keeps how each passage is stored, so that the next check can compare.
    """
    found, cut = live(opened), n_passages(opened)
    matching = [
        i
        for i, model in enumerate(allowed)
        if expected(model) == found
        and cut == {id_: one.n_passages for id_, one in model.items() if one.n_passages}
    ]
    assert matching, difference(found, allowed)
    model = allowed[matching[-1]]
    report = opened.verify()
    assert report.ok, report.problems
    vectors(opened, model, memory)
    return matching[-1]


def difference(found: dict[Id, Any], allowed: list[Model]) -> str:
    """What is lost and what should not be there, against each model."""
    lines = []
    for model in allowed:
        wanted = expected(model)
        lost = [id_ for id_ in wanted if id_ not in found]
        strange = [id_ for id_ in found if id_ not in wanted]
        other = [id_ for id_ in wanted if id_ in found and wanted[id_] != found[id_]]
        lines.append(f"lost {lost[:9]}, uncommitted {strange[:9]}, different {other[:9]}")
    return "; or ".join(lines)


def vectors(opened: store.Store, model: Model, memory: Memory) -> None:
    """Embeddings and scores: within the codec's bound, and to the bit what they were."""
    snapshot = opened.snapshot()
    generation = snapshot.generation.name if snapshot.generation else None
    query, _ = storing.matrix(99, 5)
    found = store.search(
        snapshot, query, max(1, snapshot.n_passages), effort="exhaustive", by="passage"
    )
    assert len(found.rows) == snapshot.n_passages
    wanted = sum(version.n_passages for version in model.values())
    assert wanted == snapshot.n_passages, (wanted, snapshot.n_passages)
    scores = dict(zip(found.rows.tolist(), found.scores, strict=True))
    rows = list(scores)
    kept: Memory = {}
    cosines: list[float] = []
    for row, passage in zip(rows, snapshot.passages(rows), strict=True):
        version = model[passage.id]
        matrix = version.record(passage.id)[3][passage.number].matrix
        embeddings = snapshot.embeddings(row)
        is_fresh = row < snapshot.n_fresh_rows
        cosine = float(np.mean(np.sum(matrix * embeddings, axis=1)))
        least = COSINE_MIN["fresh" if is_fresh else snapshot.settings.codec]
        assert cosine >= least, (passage.id, cosine, least)
        if not is_fresh:
            cosines.append(cosine)
        how = ("fresh", None) if is_fresh else ("settled", generation)
        bits = hashlib.sha256(embeddings.tobytes() + scores[row].tobytes()).hexdigest()
        key = (passage.id, version.number, passage.number)
        if key in memory and memory[key].how == how:
            assert memory[key].bits == bits, f"{key} scores differently, and is stored as before"
        kept[key] = Stored(how, bits)
    if len(cosines) >= 20:
        assert np.mean(cosines) >= COSINE_MEAN[snapshot.settings.codec], np.mean(cosines)
    memory.clear()
    memory.update(kept)


def nothing_left_over(opened: store.Store) -> None:
    """No file without a row, no byte of a codec, no lock of a reader that is gone, no space lost;
    after two writes."""
    folder = opened.path
    segments, rows = opened._catalog.known_files()
    known = {f"segments/{name}" for name in segments}
    codec = {f"codec/{generation}/{name}": n for (generation, name), n in rows.items()}
    assert set(storing.listing(folder)) == known | set(codec)
    assert {name: (folder / name).stat().st_size for name in codec} == codec
    mapped = len(opened._folder.opened())
    assert mapped <= len(segments), (mapped, segments)
    readers = [path.name for path in (folder / "readers").iterdir() if path.name != "gate"]
    assert len(readers) <= 2, readers
    top = {path.name for path in folder.iterdir()}
    logs = {FILE_NAME + "-wal", FILE_NAME + "-shm"}
    usual = {FILE_NAME, "segments", "codec", "readers", "write.lock", "shape.lock"}
    assert top - logs == usual, top


def backup(folder: Path) -> dict[Id, Any] | None:
    """A backup is whole or not there; what a reader gets of it."""
    path = backup_folder(folder)
    if not path.exists():
        return None
    with store.open(path, settle="manual", n_threads=1) as opened:
        assert opened.verify().problems == ()
        return live(opened)


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
