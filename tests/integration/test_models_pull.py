"""``footnote models pull``, from a hub on loopback that speaks as much of the Hugging Face hub's API as a download needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "model.safetensors": b"weights",
    "config.json": b"{}",
    "modules.json": b"[]",
    "1_Pooling/config.json": b"{}",
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"a pickle",
    "modeling_own.py": b"raise SystemExit",
}


@contextmanager
def hub(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Gives its address and the files that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/models/owner/model"):
                siblings = [{"rfilename": name, "size": len(body)} for name, body in files.items()]
                tree = [{"type": "file", "path": n, "size": len(b), "oid": COMMIT} for n, b in files.items()]
                body = {"id": "owner/model", "modelId": "owner/model", "sha": COMMIT, "siblings": siblings, "tags": []}
                return self.answer(json.dumps(tree if "/tree/" in self.path else body).encode())
            name = self.path.partition(f"/owner/model/resolve/{COMMIT}/")[2]
            if name not in files:
                return self.send_error(404)
            asked.append(name)
            return self.answer(files[name])

        do_HEAD = do_GET

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("ETag", f'"{COMMIT}{len(body)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def pull(endpoint: str, data_dir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": endpoint, "FOOTNOTE_DATA_DIR": str(data_dir), "HF_HOME": str(data_dir / "hf")}
    command = [sys.executable, "-m", "footnote", "models", "pull", "owner/model", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_weights_and_settings_come_and_code_and_pickles_stay(tmp_path: Path) -> None:
    with hub(FILES) as (endpoint, asked):
        done = pull(endpoint, tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "models" / "owner--model"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == set(FILES) - {"pytorch_model.bin", "modeling_own.py"}
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not {"pytorch_model.bin", "modeling_own.py"} & set(asked)


def test_a_model_without_safetensors_is_refused_and_a_hub_that_is_not_there_is_said(tmp_path: Path) -> None:
    with hub({name: body for name, body in FILES.items() if name != "model.safetensors"}) as (endpoint, _):
        done = pull(endpoint, tmp_path)
    assert done.returncode == 1
    assert "no .safetensors" in done.stderr
    away = pull(endpoint, tmp_path)
    assert away.returncode == 1
    assert "can't be fetched" in away.stderr
    assert "Traceback" not in away.stderr
    assert not (tmp_path / "models" / "owner--model").exists()


def test_a_folder_is_taken_in_without_a_hub(tmp_path: Path) -> None:
    source = tmp_path / "brought"
    for name, body in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(body)
    done = pull("http://127.0.0.1:9", tmp_path, "--from", str(source))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "models" / "owner--model"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == set(FILES) - {"pytorch_model.bin", "modeling_own.py"}
    again = pull("http://127.0.0.1:9", tmp_path, "--from", str(source))
    assert again.returncode == 1
    assert "already" in again.stderr
    nowhere = pull("http://127.0.0.1:9", tmp_path, "--from", str(source / "config.json"))
    assert nowhere.returncode == 2
    assert "is no folder" in nowhere.stderr
