"""The web page's files: what they must never do, and the names that they are served under."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.web_bundle import CONTENT_SECURITY_POLICY, load_bundle

WEB = Path(__file__).parents[2] / "app" / "web"
SCRIPTS = sorted(WEB.rglob("*.js"))
STYLES = sorted(WEB.rglob("*.css"))

# Whatever turns a string into markup or code. Text goes into the page as text nodes alone.
FORBIDDEN = (
    r"(inner|outer)HTML",
    r"insertAdjacentHTML",
    r"document\.write",
    r"(?<!footnote )\beval\b",  # but for the command's name, in words
    r"\bFunction\s*\(",
    r"\bimport\s*\(",
    r"setHTML|parseHTML|parseFromString|createContextualFragment",
    r"srcdoc\s*=",
    r"\.on[a-z]+\s*=",
    r"set(Timeout|Interval)\s*\(\s*[\"'`]",
    r"trustedTypes|createPolicy",
    r"javascript:",
)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(WEB).as_posix())
def test_no_script_turns_text_into_markup_or_code(path: Path) -> None:
    source = path.read_text()
    for pattern in FORBIDDEN:
        assert not re.search(pattern, source), f"{path.name} has {pattern}"


@pytest.mark.parametrize("path", [*SCRIPTS, *STYLES, WEB / "index.html", WEB / "icon.svg"], ids=lambda path: path.name)
def test_no_file_names_another_origin(path: Path) -> None:
    named = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", re.sub(r"(?m)//\s.*$", "", path.read_text())))
    assert {url for url in named if "example.com" not in url} <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in path.read_text()


def test_only_one_module_makes_links() -> None:
    assert [path.name for path in SCRIPTS if re.search(r"\.href\s*=[^=]|\.src\s*=[^=]", path.read_text())] == ["links.js"]


def test_the_page_has_no_inline_code_or_style() -> None:
    page = (WEB / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son\w+=", page) == []


def test_the_policy_lets_nothing_in_but_our_own_files() -> None:
    rules = dict(rule.split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert {value for name, value in rules.items() if name in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_every_file_the_page_names_is_served_and_every_import_resolves() -> None:
    bundle = load_bundle()
    page = bundle.index.decode()
    named = set(re.findall(r'(?:href|src)="web/([^"]+)"', page))
    assert {name.partition("/")[0] for name in named} == {bundle.digest}
    assert {name.partition("/")[2] for name in named} == set(bundle.files)
    for path, file in bundle.files.items():
        for imported in re.findall(r'(?m)^import .* from "([^"]+)"', file.content.decode()):
            target = (WEB / path).parent.joinpath(imported).resolve().relative_to(WEB).as_posix()
            assert target in bundle.files, f"{path} imports {imported}"


def test_the_digest_is_the_contents() -> None:
    assert load_bundle() == load_bundle()
    assert re.fullmatch(r"[0-9a-f]{16}", load_bundle().digest)
