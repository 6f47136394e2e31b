"""A client that adds next to nothing to what it measures: one kept-alive connection of the standard library."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import urlsplit

from bench.errors import BenchError

Body = dict[str, Any]


class Api:
    def __init__(self, base_url: str, *, timeout_s: float = 120.0) -> None:
        self._netloc = urlsplit(base_url).netloc
        self._timeout_s = timeout_s
        self._connection = http.client.HTTPConnection(self._netloc, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Body:
        return self._json("GET", path, None)

    def post(self, path: str, body: Body) -> Body:
        return self._json("POST", path, body)

    def status(self, path: str) -> int:
        """The status code of a GET, 0 where nothing listens."""
        try:
            return self._send("GET", path, None)[0]
        except OSError:
            return 0

    def stream(self, path: str, body: Body) -> Iterator[tuple[float, str, Body]]:
        """Server-sent events as (time of arrival by ``perf_counter``, name, data)."""
        connection = http.client.HTTPConnection(self._netloc, timeout=self._timeout_s)
        try:
            connection.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status >= 400:
                raise BenchError(f"POST {path} gave {response.status}: {response.read(2000).decode(errors='replace')}")
            name = ""
            while line := response.readline():
                key, _, value = line.rstrip(b"\r\n").partition(b": ")
                if key == b"event":
                    name = value.decode()
                elif key == b"data":
                    yield time.perf_counter(), name, json.loads(value)
        finally:
            connection.close()

    def _json(self, method: str, path: str, body: Body | None) -> Body:
        status, data = self._send(method, path, body)
        if status >= 400:
            raise BenchError(f"{method} {path} gave {status}: {data[:2000].decode(errors='replace')}")
        decoded: Body = json.loads(data)
        return decoded

    def _send(self, method: str, path: str, body: Body | None) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        try:
            self._connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            response = self._connection.getresponse()
            return response.status, response.read()
        except (http.client.HTTPException, OSError) as exc:
            self._connection.close()  # the next request opens a new one
            raise exc if isinstance(exc, OSError) else ConnectionError(str(exc)) from exc
