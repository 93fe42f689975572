"""Every example runs; the notebook in a kernel, inside its event loop, kept without outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "notebook.ipynb"
CHECKPOINT = EXAMPLES.parent / "tests" / "golden" / "models" / "checkpoints" / "native-bert"

#: A program, the package that it needs beside the core, what it must print.
PROGRAMS = {
    "multi_vector_index.py": ("sentence_transformers", "150 passages: 150 new"),
    "mteb_task.py": ("mteb", "4 bits: nDCG@10 1.00"),
    "from_pylate.py": (None, "[{'id': 'raven', "),
    "from_ragatouille.py": (None, "clever birds -> Ravens solve puzzles."),
    "from_stanford.py": (None, "8\t0\t1\t"),
    "dspy_retrieval.py": ("dspy", "the sea is salty because: Rivers bring"),
    "haystack_retrieval.py": ("haystack", "[pumice, 0] Pumice is so full of air that it floats."),
    "langchain_retrieval.py": ("langchain_core", "ice Ice is lighter than water."),
    "llama_index_retrieval.py": ("llama_index.core", "left: the book of water"),
}

#: What a program is given where it needs more; what it leaves where it says so.
ARGUMENTS = {"multi_vector_index.py": [str(CHECKPOINT), "150"]}
LEFT = {"multi_vector_index.py": ["docstrings.lace"]}


@pytest.mark.filterwarnings("default")  # those of Jupyter are not ours
def test_c44_the_notebook_runs_in_a_kernel(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    html = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("<mark" in one for one in html)
    assert list(tmp_path.iterdir()) == []  # it leaves nothing where it is opened


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_every_program_is_run_here_and_named_on_the_page():
    assert set(PROGRAMS) == {path.name for path in EXAMPLES.glob("*.py")}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in PROGRAMS if f"]({name})" not in page] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs(name, tmp_path):
    package, printed = PROGRAMS[name]
    if package is not None:
        pytest.importorskip(package)
    program = [sys.executable, str(EXAMPLES / name), *ARGUMENTS.get(name, [])]
    ran = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert printed in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == LEFT.get(name, [])
