"""An agent that searches a folder as often as it needs to: for questions no single search answers.

pip install 'interlace[documents]'
python examples/rag/agent.py docs/ "where was the namesake of the unit of frequency born"

The model is given a tool, and decides itself what to look for next: take one that calls tools.
"""

import json
import sys
from pathlib import Path

from ask import RULES, collection_of, footnotes, numbered
from endpoint import complete

from interlace.errors import InterlaceError

STEPS_MAX = 8

SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Find passages. Ask for one fact; search again with what you learn.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}, "k": {"type": "integer", "default": 4}},
            "required": ["query"],
        },
    },
}


def answer_call(notes, call, hits):
    """What a call of the tool found; new passages join ``hits``, so that numbers stay."""
    try:
        wanted = json.loads(call["function"]["arguments"])
        found = notes.search(wanted["query"], k=int(wanted.get("k", 4)), by="passage")
    except (InterlaceError, ValueError, TypeError, KeyError) as error:
        return f"{type(error).__name__}: {error}"  # the model reads it, and tries again
    known = {(hit.id, hit.passage) for hit in hits}
    new = [hit for hit in found if (hit.id, hit.passage) not in known]
    hits.extend(new)
    return numbered(new, len(hits) - len(new) + 1) or "Nothing that you have not seen."


def main(folder, question):
    """Search, read, search again, answer."""
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": question}]
    hits = []
    with collection_of(Path(folder)) as notes:
        for _ in range(STEPS_MAX):
            message = complete(messages, [SEARCH])
            messages.append(message)
            if not message.get("tool_calls"):
                break
            for call in message["tool_calls"]:
                print("searching:", call["function"]["arguments"], file=sys.stderr)
                told = answer_call(notes, call, hits)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": told})
        else:
            raise SystemExit(f"no answer after {STEPS_MAX} steps.")
    answer = message["content"]
    print(answer, *footnotes(answer, hits), sep="\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
