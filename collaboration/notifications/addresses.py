"""Where webhooks may go: the public internet, and nothing of the network that the studio stands in.

The name is looked up once and the connection made to that very address, so that a name cannot point elsewhere between
the look and the connection. Redirects are not followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

SECONDS = 5
"""To connect, and for each read."""
READ = 4096
"""Bytes of an answer that are looked at."""


class Refused(Exception):
    """The address may not be reached; the text says why."""


class Unanswered(Exception):
    """Nobody answered, or not with success; the text says what."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet; one that wraps another is judged by it."""
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified


def clean_url(text: str) -> str:
    """Return the address of a webhook. Raises ValidationError for what is none, or may not be reached by its look."""
    url = text.strip()
    if any(c.isspace() or ord(c) < 32 for c in url) or len(url) > 500:
        raise ValidationError("This is no web address.", code="url")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValidationError("This is no web address.", code="url") from None
    allowed = {"https", "http"} if settings.WEBHOOKS_MAY_REACH_PRIVATE else {"https"}
    if parts.scheme not in allowed or not host:
        raise ValidationError("Write an address that begins with https://.", code="scheme")
    if parts.username or parts.password:
        raise ValidationError("An address with a user name or a password is not kept. Take it out.", code="credentials")
    if port is not None and not 0 < port < 65536:
        raise ValidationError("This is no web address.", code="url")
    if not settings.WEBHOOKS_MAY_REACH_PRIVATE:
        try:
            public = is_public(host.strip("[]"))
        except ValueError:  # a name
            public = "." in host.rstrip(".") and not host.rstrip(".").endswith((".local", ".internal", ".localhost"))
        if not public:
            raise ValidationError("This address is inside the studio's own network.", code="private")
    return url


def resolve(host: str, port: int) -> tuple[int, str]:
    """Return (family, address) to connect to. Raises Refused where any address of the name is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unanswered(f"The name {host} is not known.") from error
    addresses = [(int(family), str(where[0])) for family, _, _, _, where in found]
    if not settings.WEBHOOKS_MAY_REACH_PRIVATE and any(not is_public(address) for _, address in addresses):
        raise Refused(f"{host} is inside the studio's own network.")
    return addresses[0]


class _Pinned(http.client.HTTPConnection):
    """To one address, whatever the name says by now."""

    def __init__(self, host: str, port: int, address: str, *, tls: bool) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self.address, self.tls = address, tls

    def connect(self) -> None:
        raw = socket.create_connection((self.address, self.port), timeout=SECONDS)
        self.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=self.host) if self.tls else raw


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Post and return the status, 200-299. Raises Refused and Unanswered."""
    parts = urlsplit(clean_url(url))
    host, tls = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    _, address = resolve(host, port)
    connection = _Pinned(host, port, address, tls=tls)
    try:
        connection.request("POST", f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}", body, headers)
        answer = connection.getresponse()
        status, said = answer.status, answer.read(READ)
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(f"No answer: {error or type(error).__name__}.") from error
    finally:
        connection.close()
    if not 200 <= status < 300:
        words = said[:80].decode("utf-8", "replace").strip()
        raise Unanswered(f"It answered {status}{f': {words}' if words else ''}.")
    return status
