"""The page to try the model: three files and a sample picture."""

from importlib.resources import files

from fastapi import APIRouter, Response

PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def page_routes(sample: bytes) -> APIRouter:
    """The page; ``sample`` is a JPEG."""
    routes = APIRouter(include_in_schema=False)
    for path, (name, media_type) in PAGE_FILES.items():
        _add(routes, path, (files("segtune.serving") / "page" / name).read_bytes(), media_type)
    _add(routes, "/sample", sample, "image/jpeg")
    return routes


def _add(routes: APIRouter, path: str, content: bytes, media_type: str) -> None:
    @routes.get(path)
    def answer() -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})
