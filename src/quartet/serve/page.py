"""The page for people, at `/`: a few files of the package, and headers that keep everything else out."""

import hashlib
from importlib import resources
from pathlib import PurePosixPath

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from quartet.serve.web import ApiError

FOLDER = "page"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
POLICY = (  # https://www.w3.org/TR/CSP3/: only what this server sends, and no script or style inside the document
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "Service-Worker-Allowed": "/",  # the worker lies in a folder and works for the page above it
    "X-Content-Type-Options": "nosniff",
}


def router() -> APIRouter:
    """The routes. Reads the files once."""
    routes = APIRouter(include_in_schema=False)
    folder = resources.files(__package__) / FOLDER
    answers = {file.name: _answer(file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file()}

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def _page(request: Request) -> Response:
        """The page."""
        return _unless_known(request, answers["index.html"])

    @routes.api_route("/docs", methods=["GET", "HEAD"])
    async def _docs(request: Request) -> Response:
        """What `/openapi.json` says, for people."""
        return _unless_known(request, answers["docs.html"])

    @routes.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def _file(request: Request, name: str) -> Response:
        """A file that the page is made of."""
        if name not in answers:
            raise ApiError(404, "the page has no such file")
        return _unless_known(request, answers[name])

    return routes


def _answer(name: str, content: bytes) -> Response:
    tag = hashlib.sha256(content).hexdigest()[:16]
    kind = TYPES[PurePosixPath(name).suffix]
    return Response(content, media_type=f"{kind}; charset=utf-8", headers=HEADERS | {"ETag": f'"{tag}"'})


def _unless_known(request: Request, answer: Response) -> Response:
    """The file, or only that the browser has it already."""
    tag = answer.headers["etag"]
    known = tag in request.headers.get("if-none-match", "")
    return Response(status_code=304, headers=HEADERS | {"ETag": tag}) if known else answer
