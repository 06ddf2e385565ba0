"""The files of the pages that this server shows to browsers: HTML, styles and scripts as they lie in `telephony/page/`.

There is no build step, nothing comes from elsewhere, and a browser is told so: under the Content-Security-Policy below it runs no script,
takes no style and asks no server but this one's. Only DOMPurify may make HTML of a text (Trusted Types), so a mistake in a page shows
nothing instead of running something. The rules: https://www.w3.org/TR/CSP3/ and https://www.w3.org/TR/trusted-types/.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

import msgspec
from aiohttp import ETag, web

FOLDER: Final = "page"

TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served; other files of the folder (licences, notes) are not."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types dompurify"
)

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-cache",  # asked for at each visit, and answered with 304: a deploy never mixes old scripts with new ones
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Endpoint = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


class PageFile(msgspec.Struct, frozen=True):
    """One file: where it lies below the folder, its bytes, its type, and a hash of it by which a browser asks whether it has changed."""

    name: str
    body: bytes
    type: str
    tag: str


@cache
def page_files() -> Mapping[str, PageFile]:
    """All files that are served, by name, read once a process."""
    return {file.name: file for file in _read(files("telephony") / FOLDER, "")}


def document(name: str) -> Endpoint:
    """The endpoint that shows one of the files."""
    file = page_files()[name]

    async def show(request: web.Request) -> web.StreamResponse:
        if any(tag.value in (file.tag, "*") for tag in request.if_none_match or ()):
            response = web.Response(status=304, headers=HEADERS)
        else:
            response = web.Response(body=file.body, headers={**HEADERS, "Content-Type": file.type})
        response.etag = ETag(file.tag)
        return response

    return show


def routes() -> Iterable[web.RouteDef]:
    """The styles and scripts below `/page/`, each at an address of its own: no address is ever made a path of."""
    return [web.get(f"/{FOLDER}/{name}", document(name)) for name in page_files() if not name.endswith(".html")]


def _read(folder: Traversable, above: str) -> Iterator[PageFile]:
    for each in folder.iterdir():
        name = above + each.name
        if each.is_dir():
            yield from _read(each, f"{name}/")
        elif (kind := TYPES.get(f".{name.rpartition('.')[2]}")) is not None:
            body = each.read_bytes()
            yield PageFile(name, body, kind, blake2b(body, digest_size=12).hexdigest())
