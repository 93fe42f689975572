"""A model behind any OpenAI-compatible endpoint, asked with the standard library alone.

OPENAI_BASE_URL   where it is, such as http://localhost:11434/v1
OPENAI_MODEL      which model
OPENAI_API_KEY    where a key is needed
"""

import json
import os
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen


def complete(messages, tools=()):
    """The message that the model answers with: a mapping with ``content`` or ``tool_calls``."""
    try:
        url, model = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_MODEL"]
    except KeyError as missing:
        raise SystemExit(f"no model to ask: {missing.args[0]} is not set.\n{__doc__}") from None
    body = {"model": model, "messages": messages, "temperature": 0}
    if tools:
        body["tools"] = list(tools)
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}",
    }
    request = Request(f"{url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urlopen(request, timeout=300) as answer:
            return json.load(answer)["choices"][0]["message"]
    except HTTPError as error:
        raise SystemExit(f"{url} refused: {error.code} {error.read().decode()}") from None
    except URLError as error:
        raise SystemExit(f"{url} cannot be reached: {error.reason}") from None
