"""Whether a request was sent at this machine: by somebody who sits there, or by one of its processes.

That is more than a loopback address: a page of another site may have its own name resolved to that address (DNS rebinding), which the
header Host shows; and a proxy in front connects from there for the whole world, which its headers and our settings show.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from switchboard.settings import ServerSettings

_BY_PROXY = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")


class Here:
    """The settings' view of it."""

    def __init__(self, server: ServerSettings) -> None:
        exposed = server.public_url is not None or bool(server.trusted_proxies)
        self._told = not exposed
        self._alone = not exposed and _is_ours(server.host)

    def sent(self, request: web.Request) -> bool:
        """Whether it was sent at this machine, to a name of this machine, with nobody in between."""
        here = _is_loopback(request.remote or "") and _is_ours(_named(request))
        return self._told and here and not any(name in request.headers for name in _BY_PROXY)

    def misnamed(self, request: web.Request) -> bool:
        """Whether it asks for another machine, though only this one can reach the server, as far as the settings know."""
        return self._alone and not _is_ours(_named(request))


def _named(request: web.Request) -> str:
    """The name by which the server was asked for."""
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:  # a bracket that is not closed
        return ""


def _is_ours(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback or (mapped is not None and mapped.is_loopback)
