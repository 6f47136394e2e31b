from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.addresses import is_cloud_metadata, is_ip_literal, is_public, special_purpose

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    # cloud metadata, the third in public address space
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "::",
    "::1",
    "::7f00:1",  # IPv4-compatible
    "::808:808",
    "100::1",
    "2001::1",  # Teredo
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:808:808::",
    "3ffe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    # an address that is not public inside another
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "64:ff9b::10.0.0.1",
    "64:ff9b::168.63.129.16",
    "64:ff9b:1::8.8.8.8",  # local-use NAT64, RFC 8215: where it leads is the operator's business
    # no address
    "",
    "localhost",
    "127.1",
    "0x7f000001",
    "[::1]",
    "1.1.1.1:80",
    "１.1.1.1",
]


@pytest.mark.parametrize("ip", PUBLIC)
def test_public(ip: str) -> None:
    assert is_public(ip)


@pytest.mark.parametrize("ip", NOT_PUBLIC)
def test_not_public(ip: str) -> None:
    assert not is_public(ip)
    assert special_purpose(ip)


@given(st.ip_addresses())
def test_never_more_generous_than_the_standard_library(ip: IPv4Address | IPv6Address) -> None:
    if is_public(ip):
        inner = ip if isinstance(ip, IPv4Address) else ip.ipv4_mapped or ip
        assert inner.is_global
        assert not inner.is_multicast


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::"]))
def test_an_embedded_address_is_judged_as_itself(ip: IPv4Address, prefix: str) -> None:
    wrapped = ip_address(int(ip_address(prefix)) + int(ip))
    assert is_public(wrapped) == is_public(ip)
    assert is_cloud_metadata(wrapped) == is_cloud_metadata(ip)


@given(st.text(max_size=40))
def test_text_never_crashes(text: str) -> None:
    assert is_public(text) <= is_ip_literal(text)
