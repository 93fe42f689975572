"""A MultiVectorEncoder of sentence-transformers, its passages on disk: found, filtered, changed.

pip install 'interlace[torch]'
python examples/multi_vector_index.py lightonai/GTE-ModernColBERT-v1

The passages are the docstrings of Python's standard library; a second argument says how many at
most. The collection stays in docstrings.lace: run it again, and nothing is encoded twice.
"""

import ast
import sys
import sysconfig
import time
from itertools import islice
from pathlib import Path

from sentence_transformers import MultiVectorEncoder

import interlace
from interlace.errors import NotACollection


def docstrings():
    """Every docstring of the standard library, with where it stands."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        module = path.relative_to(library)
        if module.parts[0] in ("site-packages", "dist-packages", "test", "lib2to3"):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            is_named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if is_named and (text := ast.get_docstring(node)):
                yield {
                    "id": f"{module.as_posix()}:{node.lineno}",
                    "text": text,
                    "metadata": {"package": module.parts[0].removesuffix(".py"), "name": node.name},
                }


def show(hits):
    for hit in hits:
        print(f"  {hit.score:6.2f}  {hit.id}  {hit.metadata['name']}: {hit.text.splitlines()[0]}")


if len(sys.argv) < 2:
    sys.exit(__doc__)
model = MultiVectorEncoder(sys.argv[1])
n_most = int(sys.argv[2]) if len(sys.argv) > 2 else 5000

# Three lines: a model, a collection, its passages. Later `open` in place of `create`.
try:
    notes = interlace.open("docstrings.lace", model)
except NotACollection:
    notes = interlace.create("docstrings.lace", model)
start = time.perf_counter()
report = notes.add(islice(docstrings(), n_most))
print(f"{len(notes):,} passages: {report.added} new, {time.perf_counter() - start:.0f} s")

query = "wait until several tasks are done"
print(query)
show(notes.search(query, k=3, mode="late"))

print("and in none of asyncio")
show(notes.search(query, k=3, mode="late", where={"package": {"$ne": "asyncio"}}))

# What changes is changed in place, and found at once.
notes.add([{"id": "mine", "text": query, "metadata": {"package": "mine", "name": "mine"}}])
show(notes.search(query, k=1, mode="late"))
notes.delete(["mine"])

# Encoding takes what the model takes. This is what the search itself takes, of one query:
matrix = model.encode_query(query)
taken = []
for _ in range(20):
    start = time.perf_counter()
    notes.search(embeddings=matrix, k=10)
    taken.append(time.perf_counter() - start)
print(f"a search among {len(notes):,} passages: {sorted(taken)[10] * 1000:.1f} ms")
notes.close()
