"""A server of the OpenAI API whose model says what a test wants, when it wants it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "scripted"


@dataclass
class ScriptedModel:
    """``text`` is streamed word by word. While ``gate`` is cleared, an answer stops after its first word and waits."""

    url: str
    text: str = "Nothing."
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def settings(self) -> dict[str, str]:
        """For the service that is to ask it."""
        return {
            "FOOTNOTE_LLM__ENGINE": "openai",
            "FOOTNOTE_LLM__BASE_URL": self.url,
            "FOOTNOTE_LLM__MODEL": NAME,
            "FOOTNOTE_LLM__STYLE": "chat",
        }


@contextmanager
def scripted_model() -> Iterator[ScriptedModel]:
    model = ScriptedModel(url="")
    model.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("application/json", json.dumps({"data": [{"id": NAME}]}))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            try:
                for number, word in enumerate(model.text.split(" ")):
                    if number == 1:
                        model.gate.wait(60)
                    self._say({"choices": [{"delta": {"content": word if number == 0 else f" {word}"}}]})
                self._say({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")
            except OSError:
                return  # the service hung up, as it does when nobody waits any more

        def _say(self, chunk: dict[str, Any]) -> None:
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()

        def _answer(self, media_type: str, body: str) -> None:
            self.send_response(200)
            self.send_header("content-type", media_type)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        model.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield model
        finally:
            model.gate.set()
            server.shutdown()
            thread.join()
