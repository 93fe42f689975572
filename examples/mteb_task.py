"""MTEB with interlace: a task of your own, and what the engine loses on it at each setting.

pip install 'interlace[mteb]'
python examples/mteb_task.py

A task of mteb's own goes the same way: mteb.get_tasks(["SciFact"]).
"""

from tempfile import TemporaryDirectory

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from interlace.integrations.mteb import InterlaceSearch

CORPUS = [
    {"id": "sky", "title": "Sky", "text": "Small particles scatter blue light more than red."},
    {"id": "sea", "title": "Sea", "text": "Rivers carry minerals into it, and the salt stays."},
    {"id": "ice", "title": "Ice", "text": "It is lighter than water, and therefore floats."},
    {"id": "lava", "title": "Basalt", "text": "It is lava that has cooled quickly."},
]
QUERIES = [
    {"id": "q1", "text": "why is the ocean salty"},
    {"id": "q2", "text": "what swims on a frozen lake"},
    {"id": "q3", "text": "what colours the heavens"},
]
JUDGED = {"q1": {"sea": 1}, "q2": {"ice": 1}, "q3": {"sky": 1}}


class Facts(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="Facts",
        description="Three questions about nature.",
        dataset={"path": "local", "revision": "1"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
    )

    def load_data(self, *_, **__):
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(CORPUS),
                    "queries": Dataset.from_list(QUERIES),
                    "relevant_docs": JUDGED,
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


with TemporaryDirectory() as folder:
    for bits in (1, 4):
        search = InterlaceSearch(folder, effort="exhaustive", settle=True, bits=bits)
        result = mteb.evaluate(search, Facts(), cache=None, show_progress_bar=False)
        scores = result.task_results[0].scores["test"][0]
        print(f"{bits} bits: nDCG@10 {scores['ndcg_at_10']:.2f}, MRR {scores['mrr_at_10']:.2f}")
        search.close()
