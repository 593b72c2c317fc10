"""How much one request may carry, and who reads it.

The server holds a whole body before the application sees any of it, so the limit is kept while it arrives: what is
beyond it is read and forgotten, and the request refused with a sentence.
"""

from __future__ import annotations

import json
from typing import Any

from daphne import http_protocol
from django.conf import settings

from collaboration.rest.middleware import PREFIX
from collaboration.rest.problems import MEDIA_TYPE, Problem


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc] # daphne has no types
    arrived = 0
    """Bytes of the body so far."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Twisted would put every form through its e-mail parser, for nobody, while all other requests wait: half a
        # minute for 200 MB.
        self._parsePOSTFormSubmission = False

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self.arrived += len(data)
        if self.arrived <= settings.REQUEST_BYTES:
            super().handleContentChunk(data)

    def process(self) -> Any:
        if self.arrived <= settings.REQUEST_BYTES:
            return super().process()
        sentence = (
            f"This request carries {self.arrived / 2**20:,.0f} MB; at most {settings.REQUEST_BYTES // 2**20:,} MB are "
            "taken at once. Send fewer or smaller files."
        )
        if self.path.startswith(PREFIX.encode()):
            document = Problem("too-large", sentence).document(self.path.decode("ascii", "replace"))
            headers = [(b"Content-Type", MEDIA_TYPE.encode())]
            self.handle_reply({"type": "http.response.start", "status": document["status"], "headers": headers})
            self.handle_reply({"type": "http.response.body", "body": json.dumps(document).encode()})
        else:
            self.basic_error(413, b"Too large", sentence)
        # The server looks after connections until their application ends, and this one never had any.
        return self.server.connections.pop(self, None)


def bound_requests() -> None:
    """From here on, every connection of this process keeps the limit."""
    http_protocol.WebRequest = BoundedRequest
