"""llama.cpp alone (``xllamacpp.Server``), in a process of its own, with the service's parameters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench.clean_process import Body, serve_requests


class BareGenerator:
    _server: Any

    def load(self, *, path: str, threads: int, slots: int, context_tokens: int, gpu_layers: int, style: str) -> Body:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = path
        params.n_parallel = slots
        params.n_ctx = context_tokens * slots
        params.kv_unified = False
        params.n_gpu_layers = gpu_layers
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.verbosity = 0
        self._server = xllamacpp.Server(params)
        self._is_chat = style == "chat"
        return {}

    def generate(self, *, prompt: str, max_tokens: int, stop: Sequence[str]) -> Body:
        """The text, and when each piece of it came, in seconds from the call."""
        arrivals_s: list[float] = []
        pieces: list[str] = []
        last: dict[str, Any] = {}

        def on_chunk(chunk: dict[str, Any]) -> bool:
            if "error" in chunk:
                raise RuntimeError(chunk["error"])
            choice = (chunk.get("choices") or [{}])[0]
            if text := choice.get("text") or (choice.get("delta") or {}).get("content"):
                arrivals_s.append(time.perf_counter() - began)
                pieces.append(text)
            last.update(chunk)
            return False

        request = {"max_tokens": max_tokens, "temperature": 0.0, "stream": True, "stop": list(stop), "cache_prompt": True}
        began = time.perf_counter()
        if self._is_chat:
            self._server.handle_chat_completions(request | {"messages": [{"role": "user", "content": prompt}]}, on_chunk)
        else:
            self._server.handle_completions(request | {"prompt": prompt}, on_chunk)
        return {"arrivals_s": arrivals_s, "text": "".join(pieces), "timings": last.get("timings") or {}}


if __name__ == "__main__":
    bare = BareGenerator()
    serve_requests({"load": bare.load, "generate": bare.generate})
