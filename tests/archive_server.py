"""A web server of archives on this machine, which can be told to cut, to be slow, or to know no ranges."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Archives:
    """What is served, how badly, and what was asked for.

    Attributes:
        files: content by name.
        cuts: after how many bytes to break off each of the next answers.
        ranges: whether a part of a file can be asked for.
        status: answer this to the next requests, in turn.
        pause: seconds before every 10,000 bytes.
        asked: the name and range of every request, the range empty where there was none.
        address: of the server.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    status: list[int] = field(default_factory=list)
    pause: float = 0.0
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


class Handler(BaseHTTPRequestHandler):
    archives: Archives

    def do_GET(self) -> None:
        name, told = self.path.lstrip("/"), self.archives
        wanted = self.headers.get("Range", "")
        told.asked.append((name, wanted))
        if told.status:
            self.send_error(told.status.pop(0))
            return
        if name not in told.files:
            self.send_error(404)
            return
        content = told.files[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and told.ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._send(content[start:])

    def _send(self, body: bytes) -> None:
        cut = self.archives.cuts.pop(0) if self.archives.cuts else len(body)
        try:
            for place in range(0, min(cut, len(body)), 10_000):
                time.sleep(self.archives.pause)
                self.wfile.write(body[place : min(cut, place + 10_000)])
                self.wfile.flush()
        except OSError:  # the other side has gone
            return

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Archives]:
    archives = Archives()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("One", (Handler,), {"archives": archives}))
    server.daemon_threads = True
    archives.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield archives
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
