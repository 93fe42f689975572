"""A collection over HTTP; it wants the extra ``serve``."""

from __future__ import annotations

from interlace.serve.routes import BODY_BYTES_MAX, K_MAX, app, serve

__all__ = ["BODY_BYTES_MAX", "K_MAX", "app", "serve"]
