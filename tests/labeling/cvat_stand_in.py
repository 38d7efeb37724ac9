"""A stand-in for a CVAT server: the part of its API that cvat-sdk's auto-annotation driver uses, and nothing else.

It is no CVAT: it holds one task of pictures in memory, checks no permissions, and keeps what is sent to it for the test
to look at. That real servers take the same is the SDK's promise, whose own client and models talk to it.
"""

import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cvat_sdk.version import VERSION
from PIL import Image

TASK_ID = 7


class Task:
    """The only task.

    Attributes:
        uploaded: What was sent as annotations: method, query, and content.
    """

    def __init__(self, pictures: dict[str, bytes], labels: Sequence[tuple[str, str]]) -> None:
        self.pictures = pictures
        self.labels = labels
        self.uploaded: list[tuple[str, str, dict[str, Any]]] = []
        # Newer than what the SDK's cache holds of an earlier stand-in at the same port.
        self.date = datetime.now(UTC).isoformat()

    def answer(self, path: str, query: str, url: str) -> tuple[Any, str]:
        """What a GET gives: plain values or bytes, and the type of the content."""
        if path == "/api/server/about":
            about = {"name": "stand-in", "description": "", "version": VERSION, "logo_url": "", "subtitle": ""}
            return about, "application/vnd.cvat+json"
        if path == f"/api/tasks/{TASK_ID}":
            return self.task(url), "application/vnd.cvat+json"
        if path == "/api/labels":
            results = [self.label(number) for number in range(len(self.labels))]
            return {"count": len(results), "next": None, "previous": None, "results": results}, (
                "application/vnd.cvat+json"
            )
        if path == f"/api/tasks/{TASK_ID}/data/meta":
            return self.meta(), "application/vnd.cvat+json"
        if path == f"/api/tasks/{TASK_ID}/data" and "type=chunk" in query:
            return self.chunk(), "application/zip"
        raise KeyError(path)

    def task(self, url: str) -> dict[str, Any]:
        summary = {"url": url, "count": 0, "completed": 0, "validation": 0}
        return {
            "id": TASK_ID, "url": url, "name": "stand-in", "project_id": None, "mode": "annotation", "owner": None,
            "assignee": None, "bug_tracker": "", "created_date": self.date, "updated_date": self.date, "overlap": 0,
            "segment_size": len(self.pictures), "status": "annotation", "data_chunk_size": len(self.pictures),
            "data_compressed_chunk_type": "imageset", "guide_id": None, "data_original_chunk_type": "imageset",
            "size": len(self.pictures), "image_quality": 100, "data": 1, "dimension": "2d", "subset": "",
            "organization_id": None, "target_storage": None, "source_storage": None, "jobs": summary,
            "labels": {"url": url}, "assignee_updated_date": None, "validation_mode": None, "consensus_enabled": False,
            "data_cloud_storage_id": None, "organization": None,
        }  # fmt: skip

    def label(self, number: int) -> dict[str, Any]:
        name, kind = self.labels[number]
        return {
            "id": 100 + number, "name": name, "color": "#ff0000", "attributes": [], "type": kind, "svg": "",
            "sublabels": [], "project_id": None, "task_id": TASK_ID, "parent_id": None, "has_parent": False,
        }  # fmt: skip

    def meta(self) -> dict[str, Any]:
        sizes = [Image.open(io.BytesIO(content)).size for content in self.pictures.values()]
        frames = [
            {"name": name, "width": width, "height": height, "related_files": 0, "has_related_context": False}
            for name, (width, height) in zip(self.pictures, sizes, strict=True)
        ]
        return {
            "chunk_size": len(frames), "size": len(frames), "image_quality": 100, "start_frame": 0,
            "media_type": "image", "stop_frame": len(frames) - 1, "frame_filter": "", "frames": frames,
            "deleted_frames": [], "included_frames": None,
            "storage_method": "cache", "storage": "local", "cloud_storage_id": None,
            "has_related_context": False, "chunks_updated_date": self.date,
        }  # fmt: skip

    def chunk(self) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for number, picture in enumerate(self.pictures.values()):
                archive.writestr(f"{number:06}.png", picture)
        return content.getvalue()


@contextmanager
def cvat_stand_in(task: Task) -> Iterator[str]:
    """Serve a task; yields the server's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            try:
                content, kind = task.answer(path.rstrip("/"), query, f"{address}{self.path}")
            except KeyError:
                self.send_error(404)
                return
            self.reply(content if isinstance(content, bytes) else json.dumps(content).encode(), kind)

        def receive(self) -> None:
            path, _, query = self.path.partition("?")
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if not re.fullmatch(rf"/api/tasks/{TASK_ID}/annotations/?", path):
                self.send_error(404)
                return
            task.uploaded.append((self.command, query, json.loads(content)))
            self.reply(content, "application/vnd.cvat+json")

        do_PATCH = do_PUT = receive

        def reply(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Tests say what they find themselves."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
