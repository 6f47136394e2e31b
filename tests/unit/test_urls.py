from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpus.errors import ForbiddenAddress, IngestError, PermanentError
from corpus.settings import IngestSettings
from corpus.urls import spelled, spellings
from ingest.addresses import is_ip_literal, is_public
from ingest.urls import MAX_URL_CHARS, Scope, check_url, is_private_allowed, normalise, resolve_link, same_site, split_url

PUBLIC_ONLY = IngestSettings()


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("HTTP://EXAMPLE.com", "http://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("https://example.com:80/a", "https://example.com:80/a"),
        ("http://example.com./a", "http://example.com/a"),
        ("http://example.com/a#part", "http://example.com/a"),
        ("http://example.com/#", "http://example.com/"),
        ("http://example.com/a/./b/../c", "http://example.com/a/c"),
        ("http://example.com/a/b/.", "http://example.com/a/b/"),
        ("http://example.com/a/%2e%2E/b", "http://example.com/b"),
        ("http://example.com/../../a", "http://example.com/a"),
        ("http://example.com/%7euser/%c3%a9%2f", "http://example.com/~user/%C3%A9%2F"),
        ("http://example.com/é", "http://example.com/%C3%A9"),
        ("http://example.com/100%", "http://example.com/100%25"),
        ("http://example.com/%%34%31", "http://example.com/%2541"),
        ("http://example.com?b=2&a=1&A", "http://example.com/?b=2&a=1&A"),
        ("http://example.com/?q=%2B%2b+", "http://example.com/?q=%2B%2B+"),
        ("http://Bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://faß.de/", "http://xn--fa-hia.de/"),
        ("http://[2606:4700:0:0::1]/", "http://[2606:4700::1]/"),
        ("http://0x08.010.2056/", "http://8.8.8.8/"),
    ],
)
def test_normalise(url: str, spelled: str) -> None:
    assert normalise(url) == spelled
    assert normalise(spelled) == spelled


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://h/", "http://h/?", "http://[", "HTTP://a.b%"]))
@example("%%34%31", "http://h/")
@example("\ud800", "http://h/")
def test_normalise_is_idempotent_and_never_crashes(text: str, before: str) -> None:
    try:
        spelled = normalise(before + text)
    except PermanentError:
        return
    assert spelled.isascii()
    assert "#" not in spelled
    assert normalise(spelled) == spelled


@pytest.mark.parametrize(
    ("reference", "resolved"),
    [
        ("next", "http://h/a/next"),
        (" ../x y\n", "http://h/x%20y"),
        ("?q", "http://h/a/b?q"),
        ("#frag", "http://h/a/b"),
        ("//other/x", "http://other/x"),
        ("\\\\other\\x", "http://other/x"),  # as browsers read it; the policy sees the result
    ],
)
def test_resolve_link(reference: str, resolved: str) -> None:
    assert resolve_link("http://h/a/b", reference) == resolved


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "bad_url"),
        ("example.com", "bad_url"),
        ("/path", "bad_url"),
        ("http://", "bad_url"),
        ("http://exa mple.com/", "bad_url"),
        (" http://example.com/", "bad_url"),
        ("http://example.com/\n", "bad_url"),
        ("http://example.com/\x00", "bad_url"),
        ("http://example.com\\@10.0.0.1/", "bad_url"),
        ("http://example.com/\u2028", "bad_url"),
        ("http://.../", "bad_url"),
        ("http://a..b/", "bad_url"),
        ("http://" + "a" * 64 + ".com/", "bad_url"),
        ("http://" + "a." * 130 + "com/", "bad_url"),
        ("http://example.com:99999/", "bad_url"),
        ("http://1.2.3.256/", "bad_url"),
        ("http://[fe80::1%25eth0]/", "bad_url"),
        ("http://example.com/" + "a" * MAX_URL_CHARS, "url_too_long"),
        ("http://example.com/" + "é" * 600, "url_too_long"),
        ("ftp://example.com/", "forbidden_scheme"),
        ("file:///etc/passwd", "forbidden_scheme"),
        ("javascript:alert(1)", "forbidden_scheme"),
        ("gopher://127.0.0.1:70/_x", "forbidden_scheme"),
        ("http://user@example.com/", "userinfo"),
        ("http://user:secret@example.com/", "userinfo"),
        ("http://example.com:8080/", "forbidden_port"),
        ("http://example.com:22/", "forbidden_port"),
        ("http://127.0.0.1/", "forbidden_address"),
        ("http://2130706433/", "forbidden_address"),
        ("http://0x7f000001/", "forbidden_address"),
        ("http://017700000001/", "forbidden_address"),
        ("http://127.1/", "forbidden_address"),
        ("http://0/", "forbidden_address"),
        ("http://127.0.0.1./", "forbidden_address"),
        ("http://%31%32%37.0.0.1/", "forbidden_address"),
        ("http://１２７.0.0.1/", "forbidden_address"),
        ("http://①②⑦.⓪.⓪.①/", "forbidden_address"),
        ("http://127。0。0。1/", "forbidden_address"),
        ("http://[::1]/", "forbidden_address"),
        ("http://[::ffff:10.0.0.1]/", "forbidden_address"),
        ("http://[::]/", "forbidden_address"),
        ("http://169.254.169.254/latest/meta-data/", "forbidden_address"),
    ],
)
def test_policy_refuses(url: str, reason: str) -> None:
    with pytest.raises(PermanentError) as caught:
        check_url(url, PUBLIC_ONLY)
    assert caught.value.reason == reason
    assert isinstance(caught.value, ForbiddenAddress) == (reason not in ("bad_url", "url_too_long"))
    assert caught.value.message


def test_policy_passes_what_it_should() -> None:
    assert check_url("https://example.com:80/ü?q=1#x", PUBLIC_ONLY) == "https://example.com:80/%C3%BC?q=1"
    assert check_url("http://8.8.8.8/", PUBLIC_ONLY) == "http://8.8.8.8/"
    assert check_url("http://my_host.example/", PUBLIC_ONLY) == "http://my_host.example/"


@given(st.text(max_size=40), st.sampled_from(["", "http://", "http://127.0.0.1", "http://[::", "https://0x7f", "http://a@"]))
def test_what_passes_names_no_private_address(text: str, before: str) -> None:
    try:
        parts = split_url(check_url(before + text, PUBLIC_ONLY))
    except IngestError:
        return
    assert parts.scheme in ("http", "https")
    assert parts.port in (80, 443)
    assert is_public(parts.host) or not is_ip_literal(parts.host)


@given(st.ip_addresses(), st.booleans())
def test_literals_pass_exactly_if_public(ip: object, upper: bool) -> None:
    literal = f"[{ip}]" if ":" in str(ip) else str(ip)
    try:
        check_url(f"http://{literal.upper() if upper else literal}/", PUBLIC_ONLY)
        passed = True
    except ForbiddenAddress:
        passed = False
    assert passed == is_public(ip_address(str(ip)))


@pytest.mark.parametrize(
    ("entry", "url", "passes"),
    [
        ("10.0.0.1", "http://10.0.0.1:8080/", True),
        ("10.0.0.1:8080", "http://10.0.0.1:8080/", True),
        ("10.0.0.1:8080", "http://10.0.0.1/", False),
        ("10.0.0.1", "http://10.0.0.10/", False),
        ("Intranet", "http://INTRANET:81/", True),
        ("intranet.", "http://intranet:81/", True),
        ("intranet", "http://intranet.example:81/", False),
        ("intranet", "http://my.intranet:81/", False),
        ("::1", "http://[::1]:81/", True),
        ("[::1]:81", "http://[0:0::1]:81/", True),
        ("[::1]:81", "http://[::1]:82/", False),
        ("169.254.169.254", "http://169.254.169.254/", False),
    ],
)
def test_private_hosts_are_allowed_by_exact_name(entry: str, url: str, passes: bool) -> None:
    settings = IngestSettings(allow_private_hosts=[entry])
    if passes:
        assert check_url(url, settings)
    else:
        with pytest.raises(ForbiddenAddress):
            check_url(url, settings)


def test_messages_name_the_remedy() -> None:
    with pytest.raises(ForbiddenAddress, match=r"add '10\.0\.0\.1' to ingest\.allow_private_hosts"):
        check_url("http://10.0.0.1/", PUBLIC_ONLY)
    assert is_private_allowed("10.0.0.1", 80, IngestSettings(allow_private_hosts=["10.0.0.1"]))


def test_default_scope() -> None:
    scope = Scope.of(["https://h/docs/index.html"], max_depth=2)
    assert scope.admits("https://h/docs/", 0) is None
    assert scope.admits("https://h/docs/deep/page?q=1", 2) is None
    assert scope.admits("http://h/docs/", 1) is None
    assert scope.admits("https://h/docs/", 3) == "too_deep"
    assert scope.admits("https://h/docs", 1) == "outside_prefix"
    assert scope.admits("https://h/docs-old/", 1) == "outside_prefix"
    assert scope.admits("https://h/?/docs/", 1) == "outside_prefix"
    assert scope.admits("https://other/docs/", 1) == "other_host"
    assert scope.admits("https://sub.h/docs/", 1) == "other_host"
    assert scope.admits("https://h:8443/docs/", 1) == "other_host"


def test_scope_of_several_starts_pairs_hosts_with_prefixes() -> None:
    scope = Scope.of(["https://a/x/", "https://b/y/1", "https://b/z/"], max_depth=9)
    assert scope.admits("https://b/z/2", 1) is None
    assert scope.admits("https://a/y/", 1) == "outside_prefix"
    assert Scope.of(["https://a/x/"], prefix="/", max_depth=9).admits("https://a/y", 1) is None


def test_scope_patterns() -> None:
    scope = Scope.of(["https://h/"], include=["*/guide/*", "*.html"], exclude=["*/old/*", "*[?]print=*"], max_depth=9)
    assert scope.admits("https://h/a/guide/b/c", 1) is None
    assert scope.admits("https://h/x.html", 1) is None
    assert scope.admits("https://h/x.HTML", 1) == "not_included"
    assert scope.admits("https://h/guide/old/x.html", 1) == "excluded"
    assert scope.admits("https://h/x.html?print=1&.html", 1) == "excluded"


def test_a_site_with_and_without_www_is_one() -> None:
    for start in ("https://example.org", "https://www.example.org/"):
        scope = Scope.of([start], max_depth=9)
        assert scope.admits("https://example.org/a", 1) is None
        assert scope.admits("https://www.example.org/a", 1) is None
        assert scope.admits("https://docs.example.org/a", 1) == "other_host"
        assert scope.admits("https://www.docs.example.org/a", 1) == "other_host"
        assert scope.admits("https://www.example.org:8443/a", 1) == "other_host"
        assert scope.admits("https://wwwexample.org/a", 1) == "other_host"
        assert scope.admits("https://www.example.org.evil.example/a", 1) == "other_host"
    assert same_site("https://h/a", "http://www.h/b")
    assert not same_site("https://h/", "https://www2.h/")


@given(st.text(max_size=60))
def test_an_address_may_stand_for_some_urls_whatever_it_is(address: str) -> None:
    found = spellings(address)
    assert address in found
    assert len(found) == len(set(found)) <= 8
    assert spelled(spelled(address)) == spelled(address)


def test_a_whole_address_stands_for_no_other_scheme() -> None:
    assert spellings("https://a.example/x#y") == ["https://a.example/x", "https://a.example/x/", "https://a.example/x#y"]
    assert spellings("a.example/x?b=/")[:4] == [
        "https://a.example/x?b=/",
        "http://a.example/x?b=/",
        "https://a.example/x/?b=/",
        "http://a.example/x/?b=/",
    ]
