"""Which IP addresses are public. Pure; no name is resolved here.

The table follows IANA's special-purpose address registries (RFC 6890 and its updates) and errs towards refusal: a block
that is anything but ordinary global unicast is not public, even where the registry calls it globally reachable
(AS112, AMT relays, 6to4), because no web page lives there. The standard library's ``is_global`` is not used: it
changes between Python releases and calls 6to4, Teredo and NAT64 addresses global that carry a private one inside.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IpAddress = IPv4Address | IPv6Address

_SPECIAL_V4 = tuple(
    (IPv4Network(block), purpose)
    for block, purpose in (
        ("0.0.0.0/8", "this network, RFC 791"),
        ("10.0.0.0/8", "private use, RFC 1918"),
        ("100.64.0.0/10", "shared address space of carriers, RFC 6598"),
        ("127.0.0.0/8", "loopback, RFC 1122"),
        ("169.254.0.0/16", "link-local and cloud metadata, RFC 3927"),
        ("172.16.0.0/12", "private use, RFC 1918"),
        ("192.0.0.0/24", "protocol assignments, RFC 6890"),
        ("192.0.2.0/24", "documentation, RFC 5737"),
        ("192.31.196.0/24", "AS112, RFC 7535"),
        ("192.52.193.0/24", "multicast tunnelling, RFC 7450"),
        ("192.88.99.0/24", "6to4 relay, RFC 7526"),
        ("192.168.0.0/16", "private use, RFC 1918"),
        ("192.175.48.0/24", "AS112, RFC 7534"),
        ("198.18.0.0/15", "benchmarking, RFC 2544"),
        ("198.51.100.0/24", "documentation, RFC 5737"),
        ("203.0.113.0/24", "documentation, RFC 5737"),
        ("224.0.0.0/4", "multicast, RFC 1112"),
        ("240.0.0.0/4", "reserved and broadcast, RFC 1112"),
    )
)

_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")  # all that IANA has given out; everything else is refused unseen

_SPECIAL_V6 = tuple(
    (IPv6Network(block), purpose)
    for block, purpose in (
        ("2001::/23", "protocol assignments, Teredo among them, RFC 2928 and RFC 4380"),
        ("2001:db8::/32", "documentation, RFC 3849"),
        ("2002::/16", "6to4, RFC 3056 (deprecated by RFC 7526)"),
        ("2620:4f:8000::/48", "AS112, RFC 7534"),
        ("3ffe::/16", "returned 6bone addresses, RFC 3701"),
        ("3fff::/20", "documentation, RFC 9637"),
    )
)

# Prefixes of IPv6 addresses that stand for the IPv4 address in their last 32 bits, and reach exactly that.
_EMBEDDING_V6 = (
    (IPv6Network("::ffff:0:0/96"), "IPv4-mapped, RFC 4291"),
    (IPv6Network("64:ff9b::/96"), "NAT64, RFC 6052"),
)

# What cloud machines ask for their credentials. Some lie outside every special-purpose block, hence a list of their own.
_CLOUD_METADATA: frozenset[IpAddress] = frozenset(
    ip_address(literal)
    for literal in (
        "169.254.169.254",  # AWS, Google Cloud, Azure and most others
        "169.254.170.2",  # AWS container credentials
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure's wire server, in public address space
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
    )
)


def is_public(ip: str | IpAddress) -> bool:
    """Whether ``ip`` is an ordinary global unicast address. What isn't an IP address at all is not public."""
    return special_purpose(ip) is None


def special_purpose(ip: str | IpAddress) -> str | None:
    """Why ``ip`` is not public ("loopback, RFC 1122"), or None if it is.

    IPv4 inside an IPv4-mapped or NAT64 address is judged as the IPv4 address it reaches. Addresses with a zone
    ("fe80::1%eth0") are never public.
    """
    address = _parsed(ip)
    if address is None:
        return "not an IP address"
    if address in _CLOUD_METADATA:
        return "cloud metadata"
    if isinstance(address, IPv4Address):
        return next((purpose for block, purpose in _SPECIAL_V4 if address in block), None)
    if address.scope_id is not None:
        return "an address with a zone, RFC 4007"
    for block, purpose in _EMBEDDING_V6:
        if address in block:
            inner = special_purpose(_embedded_v4(address))
            return None if inner is None else f"{purpose}, of {inner}"
    if address not in _GLOBAL_UNICAST_V6:
        return "outside global unicast, RFC 4291"
    return next((purpose for block, purpose in _SPECIAL_V6 if address in block), None)


def is_cloud_metadata(ip: str | IpAddress) -> bool:
    """Whether ``ip`` serves a cloud machine's credentials, also when written as an IPv6 address that embeds it."""
    address = _parsed(ip)
    if isinstance(address, IPv6Address) and any(address in block for block, _ in _EMBEDDING_V6):
        address = _embedded_v4(address)
    return address in _CLOUD_METADATA


def is_ip_literal(text: str) -> bool:
    """Whether ``text`` is an IP address as such: dotted IPv4, or IPv6 without brackets."""
    return _parsed(text) is not None


def _embedded_v4(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)


def _parsed(ip: str | IpAddress) -> IpAddress | None:
    if not isinstance(ip, str):
        return ip
    try:
        return ip_address(ip)
    except ValueError:
        return None
