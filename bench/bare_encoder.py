"""``SentenceTransformer.encode`` alone, in a process of its own: the floor under ingest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench.clean_process import Body, serve_requests


class BareEncoder:
    _model: Any

    def load(self, *, folder: str, device: str | None) -> Body:
        import torch
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(folder, device=device, local_files_only=True, trust_remote_code=False)
        self._model.encode(["warm up"] * 4, show_progress_bar=False)
        return {"threads": torch.get_num_threads(), "device": str(self._model.device)}

    def encode(self, *, texts: Sequence[str], batch_size: int) -> Body:
        """All texts in one call, as anybody would write it."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._model.encode(list(texts), batch_size=batch_size, show_progress_bar=False)
        return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    encoder = BareEncoder()
    serve_requests({"load": encoder.load, "encode": encoder.encode})
