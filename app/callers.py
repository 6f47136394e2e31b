"""Who is asking, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from corpus.errors import Forbidden
from corpus.grants import EVERYTHING, Grants
from corpus.keys import ApiKey, Scope
from corpus.settings import ServerSettings

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
OPEN_PREFIXES = ("/web/",)
METRICS_PATH = "/metrics"
READINESS_PATH = "/readyz"
# What proxies add: a request with one of these comes from elsewhere, though its connection may come from this machine.
FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
IPV6_SITE_BITS = 64  # what one household or machine has at least


@dataclass(frozen=True, slots=True)
class Caller:
    """``key`` None: somebody who needs none. ``address``: where they ask from, as limits count it."""

    key: ApiKey | None = None
    address: str = ""

    @property
    def name(self) -> str:
        return self.key.id if self.key else "-"

    @property
    def asker(self) -> str:
        """Whose turn it is where many wait: the key's, or else the address'."""
        return self.key.id if self.key else self.address

    @property
    def grants(self) -> Grants:
        return Grants(self.key.collections) if self.key else EVERYTHING

    def require(self, scope: Scope) -> None:
        """Raises: Forbidden."""
        if self.key is not None and not self.key.may(scope):
            has = ", ".join(sorted(self.key.scopes))
            raise Forbidden(f"This needs an API key with the scope {scope}; {self.key.id} has {has}.", needed=scope.value)


def is_open(path: str) -> bool:
    """Whether a path tells nothing that a key guards: the probes, the web page's own files, the API's description."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


def listens_on_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def needs_keys(server: ServerSettings) -> bool:
    """Whether every request needs a key."""
    return server.api_keys == "required" or (server.api_keys == "auto" and not listens_on_loopback(server.host))


def site_of(address: str) -> str:
    """What a limit is counted by: an IPv4 address, or the network that an IPv6 address shares with its owner's others."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> IPV6_SITE_BITS << IPV6_SITE_BITS))
