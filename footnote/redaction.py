"""Keeping secrets out of the log: those that Footnote was given, and whatever looks like one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

HIDDEN = "…"
LEAST_SECRET_CHARS = 6  # shorter ones are words of the language, which would vanish from every line
_PATTERNS = (
    (re.compile(r"\bfn_([a-z2-7]{8})_[a-z2-7]{52}"), rf"fn_\1_{HIDDEN}"),  # our keys: the id may be told
    (re.compile(r"(?i)(\bauthorization\b['\"]?\s*[:=,]\s*b?['\"]?)(?:(?:bearer|basic)\s+)?[^\s'\",)]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{16,}"), rf"\1 {HIDDEN}"),
    # A password may hold anything but what ends the part of the URL it stands in.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#'\"<>]+@"), rf"\1{HIDDEN}@"),
)


class Redaction:
    """``secrets``: words that are hidden wherever they stand."""

    def __init__(self, secrets: Iterator[str] | tuple[str, ...] = ()) -> None:
        long_first = sorted({secret for secret in secrets if len(secret) >= LEAST_SECRET_CHARS}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, long_first))) if long_first else None

    @classmethod
    def of(cls, settings: BaseModel) -> Redaction:
        return cls(_secrets_in(settings))

    def __call__(self, text: str) -> str:
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def _secrets_in(settings: BaseModel) -> Iterator[str]:
    for _, value in settings:
        if isinstance(value, BaseModel):
            yield from _secrets_in(value)
        elif isinstance(value, SecretStr):
            secret = value.get_secret_value()
            if "://" not in secret:
                yield secret
            elif password := urlsplit(secret).password:  # of a URL only this: its host may be named
                yield from (password, unquote(password))
