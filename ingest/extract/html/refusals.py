"""Pages that answer 200 and mean no: a sign-in form in the place of what was asked for, and "page not found" without a 404.

Indexed, they would be quoted as the site's own word. Both are judged by what the page calls itself and by how little else it
says, for documentation about signing in, or about the status 404, is to be kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from corpus.model import BlockKind, PageText
from ingest.extract.html.inline import flat_text
from ingest.extract.html.words import words_of

# Words and links that a page with a sign-in form may have besides: if neither its name nor its address is about signing in, if
# one of them is, if both are. A portal has more, and its sign-in form is one box of many.
MAX_OTHER_WORDS = (25, 100, 200)
MAX_OTHER_LINKS = (10, 40, 80)
MAX_FORM_WORDS = 80  # a form that holds more is one around the whole page, as ASP.NET makes
MAX_SOFT_404_WORDS = 100  # documentation of the status, without code or table, says more
MAX_BARE_404_WORDS = 30  # where the page is called "404" and nothing else, which may be a year

_COUNTED_CHARS = 20_000
MAX_LOOKED_AT = 50  # of a page's headings, fields, texts in a form

_CHROME = frozenset(("header", "nav", "aside", "footer", "dialog"))
_CHROME_NAME = re.compile(
    r"(?<![a-z])(?<!no[-_])(?<!has[-_])(?<!with[-_])"
    r"(?:header|nav|navbar|navigation|topbar|toolbar|sidebar|modal|dropdown|popup|popover|offcanvas|drawer|footer)(?![a-z])",
    re.IGNORECASE,
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_IDENTIFIERS = frozenset(
    ("email", "username", "user", "login", "userid", "identifier", "loginfmt", "j_username", "session[username]")
)
_SAML = frozenset(("samlrequest", "samlresponse"))

# One language a line.
_SIGN_IN = re.compile(
    "|".join(
        (
            r"\b(?:sign(?:ing)?|log(?:ging)?)[ -]?(?:in|on)\b|\bsingle sign[ -]?on\b|\bauthentication required\b",
            r"\banmeld(?:en|ung)\b|\beinloggen\b",
            r"\bse connecter\b|\bconnexion\b|\bconnectez\b|\bidentifi(?:ez|cation)\b",
            r"\b(?:iniciar?|inicie|inicio de) sesi[oó]n\b|\bacceder\b|\bingresar\b",
            r"\biniciar sess[aã]o\b|\bentrar\b|\bfa[cç]a login\b",
            r"\bacced[ie]\b|\baccesso\b",
            r"\binloggen\b|\baanmelden\b",
            r"\blogga in\b|\blogg? inn?\b|\blog ind\b|\bkirjaudu\b",
            r"\bzaloguj\b|\blogowanie\b|\bp[rř]ihl[aá][sš](?:it|en[ií])\b|\bbejelentkez[eé]s\b|\bautentificare\b",
            r"\bgiriş\b|\boturum aç|\bвойти\b|\bвход\b|\bавторизация\b|\bувійти\b|\bвхід\b|σύνδεση",
            r"ログイン|サインイン|登录|登錄|登入|로그인|تسجيل الدخول|התחברות|đăng nhập",
        )
    ),
    re.IGNORECASE,
)
_SIGN_IN_WITH = re.compile(
    r"\s*(?:(?:sign|log)[ -]?in|continue|anmelden|weiter|se connecter|continuer|iniciar sesi[oó]n|continuar|accedi|continua)"
    r" (?:with|using|via|mit|avec|con|com)\b",
    re.IGNORECASE,
)
_NEXT = re.compile(
    r"\b(?:next|continue|weiter|suivant|continuer|siguiente|continuar|avanti|volgende|далее|次へ|下一步)\b", re.IGNORECASE
)
_SIGN_IN_SEGMENT = re.compile(
    r"(?:(?:user|users|account|member|wp|do|web)?[_-]?(?:log[_-]?[io]n|sign[_-]?[io]n)|anmelden|connexion)(?:\.\w{2,5})?",
    re.IGNORECASE,
)
# These name documents as well, but sign-in pages are led to with a query: what asked for it, and where to come back to.
_PERHAPS_SIGN_IN_SEGMENT = re.compile(
    r"sso|saml2?|oauth2?|openid(?:-connect)?|authorize|auth|authenticate|adfs|cas|idp", re.IGNORECASE
)
_SIGN_IN_HOST = re.compile(r"log[_-]?in|sign[_-]?in|sso|auth|accounts|idp|identity|adfs", re.IGNORECASE)

_TITLE_SEPARATOR = re.compile(r"\s+[|·•»–—-]\s+|\s*(?:::|\|)\s*")
_FRINGE = re.compile(
    r"(?:http|status|code|error|fehler|erreur|errore|erro|ошибка|hata|oops|ups|whoops|uh[ -]oh|sorry|404|410|[\W_])+"
)
_TAIL = re.compile(r"[\W\d_]+$")
_NOT_FOUND = re.compile(
    "|".join(
        (
            r"(?:(?:the|this|that|your|requested|web)\s){0,3}(?:page|file|url|document|content|resource|article)?"
            r"(?:\s?you(?:'re| are| were)? (?:looking for|requested|trying to reach))?"
            r"\s?(?:(?:(?:was|is|has|could|can|does)\s?)?(?:not|n't)|can(?:not|'t))\s?(?:been |be )?(?:found|exist|available)",
            r"we (?:can't|cannot|couldn't|could not) (?:find|seem to find) (?:the|this|that|your) page.{0,30}|no such page",
            r"page (?:is )?missing|page (?:no longer exists|unavailable|gone|removed)",
            r"(?:die |diese )?(?:angeforderte |gesuchte )?seite (?:wurde |konnte )?nicht gefunden(?: werden)?|nicht gefunden",
            r"(?:die |diese )?(?:angeforderte |gesuchte )?seite existiert nicht",
            r"(?:cette |la )?page (?:est )?(?:introuvable|inexistante|non trouvée|pas trouvée|n'existe pas|n'a pas été trouvée)",
            r"(?:esta |la )?página no (?:encontrada|existe|disponible)|no encontrad[oa]|no se (?:ha )?encontr(?:ó|ado) la página",
            r"(?:la )?pagina (?:non trovata|inesistente|non esiste)|non trovat[oa]",
            r"(?:esta |a )?página (?:não (?:encontrada|existe|foi encontrada)|inexistente)|não encontrad[oa]",
            r"(?:deze )?pagina (?:is )?(?:niet gevonden|bestaat niet)|niet gevonden",
            r"sidan (?:hittades inte|kunde inte hittas|finns inte)|siden (?:blev|ble) ikke fun(?:det|net)|fant ikke siden",
            r"siden (?:findes|finnes) ikke|siden kunne ikke findes|sivua ei löyt?(?:ynyt|ydy)",
            r"nie znaleziono(?: strony)?|strona nie (?:została znaleziona|istnieje)",
            r"stránka (?:nebyla nalezena|nenalezena|sa nenašla|neexistuje)|(?:az )?oldal nem található",
            r"pagina nu (?:a fost găsită|există)|sayfa bulunamadı|η σελίδα δεν βρέθηκε",
            r"страница не (?:найдена|существует)|сторінк[ау] не (?:знайдено|існує)",
            r"(?:お探しの)?ページ[がは]見つかりません(?:でした)?|페이지를 찾을 수 없습니다",
            r"(?:您(?:访问|要找|请求)的)?(?:页面|頁面)(?:不存在|未找到|找不到)|(?:找不到|未找到)(?:该|此)?(?:页面|頁面)",
            r"الصفحة غير موجودة|הדף לא נמצא|không tìm thấy trang|halaman tidak ditemukan",
        )
    )
)
_MISSING = re.compile(r"\b404\b|\b410\b")
_MAX_NAME_CHARS = 120


class Refusal(StrEnum):
    """Why a page is no answer. The values are reasons of failed URLs."""

    LOGIN_REQUIRED = "login_required"
    SOFT_404 = "soft_404"


@dataclass(frozen=True, slots=True)
class SignInForm:
    """The form that seems to be a page's purpose. ``words``: in it. ``links``: how many the page has outside it. ``signs``: how
    many of the page's name and its address are about signing in."""

    words: int
    links: int
    signs: int


def sign_in_form_of(root: HtmlElement, url: str) -> SignInForm | None:
    """The sign-in form that a page shows outside its header, menus and boxes, if any. To be asked before content is chosen."""
    innermost = (h for h in root.iter("h1", "h2") if next(h.iterdescendants("h1", "h2"), None) is None)
    headings = islice(innermost, MAX_LOOKED_AT)
    names = [root.findtext(".//head/title") or "", *map(flat_text, headings)]
    signs = any(_SIGN_IN.search(name[:_MAX_NAME_CHARS]) for name in names) + is_sign_in_address(url)
    if not signs and not any(_is_secret(field) for field in root.iter("input")):
        return None
    shown = _shown(root)
    secrets = [field for field in shown if _is_secret(field)]
    asking = islice(filter(_may_ask_who, shown), MAX_LOOKED_AT) if signs and not secrets else ()
    fields = secrets or [field for field in asking if _asks_who(field)]
    if not fields:
        return None
    form = next(fields[0].iterancestors("form"), None)
    within = set() if form is None else set(form.iter("a"))
    return SignInForm(
        words=0 if form is None else _count(flat_text(form)),
        links=sum(1 for link in shown if link.tag == "a" and link.get("href") and link not in within),
        signs=signs,
    )


def refusal_of(page: PageText, form: SignInForm | None) -> Refusal | None:
    """What a page means that was extracted, if it isn't an answer."""
    if form is not None and _asks_to_sign_in(page, form):
        return Refusal.LOGIN_REQUIRED
    return Refusal.SOFT_404 if _is_soft_404(page) else None


def is_sign_in_address(url: str) -> bool:
    """Whether a URL reads as that of a sign-in page."""
    try:
        parts = urlsplit(url)
        labels = (parts.hostname or "").split(".")[:-1]
    except ValueError:
        return False
    segments = parts.path.strip("/").split("/")
    if _SIGN_IN_SEGMENT.fullmatch(segments[-1]):
        return True
    is_perhaps = any(map(_PERHAPS_SIGN_IN_SEGMENT.fullmatch, segments)) or any(map(_SIGN_IN_HOST.fullmatch, labels))
    return bool(parts.query) and is_perhaps


def _asks_to_sign_in(page: PageText, form: SignInForm) -> bool:
    if form.words > MAX_FORM_WORDS or any(block.kind is BlockKind.CODE for block in page.blocks):
        return False
    other_words = _count(page.text) - form.words
    return other_words <= MAX_OTHER_WORDS[form.signs] and form.links <= MAX_OTHER_LINKS[form.signs]


def _is_secret(element: HtmlElement) -> bool:
    """Whether it is the field of a password, or of a sign-in that is under way at another site (SAML)."""
    if element.tag != "input":
        return False
    kind, names = element.get("type", "").strip().lower(), _names_of_field(element)
    return (kind == "password" and "new-password" not in names) or (kind == "hidden" and not _SAML.isdisjoint(names))


def _may_ask_who(element: HtmlElement) -> bool:
    """Whether it is a field for the name of an account, or leads to another site's sign-in."""
    if element.tag in ("a", "button"):
        return bool(_SIGN_IN_WITH.match("".join(element.itertext())[:_MAX_NAME_CHARS]))
    if element.tag != "input":
        return False
    kind = element.get("type", "text").strip().lower()
    return kind == "email" or (kind == "text" and not _IDENTIFIERS.isdisjoint(_names_of_field(element)))


def _asks_who(element: HtmlElement) -> bool:
    """Whether a field is in a form that goes on from there: not one for news by email."""
    form = next(element.iterancestors("form"), None)
    if element.tag != "input":
        return True
    if form is None:
        return False
    buttons = (button.get("value", "") for button in form.iter("input") if button.get("type", "").strip().lower() == "submit")
    said = " ".join((*islice(form.itertext(), MAX_LOOKED_AT), *islice(buttons, MAX_LOOKED_AT)))[:_COUNTED_CHARS]
    return bool(_SIGN_IN.search(said) or _NEXT.search(said))


def _names_of_field(field: HtmlElement) -> set[str]:
    return {field.get(key, "").strip().lower() for key in ("name", "id", "autocomplete")}


def _shown(root: HtmlElement) -> list[HtmlElement]:
    """The fields, buttons and links that are neither hidden nor in a page's chrome or a box that opens over it."""
    hidden: set[HtmlElement] = set()
    shown: list[HtmlElement] = []
    for element in root.iter():
        if element.getparent() in hidden or _is_aside(element):
            hidden.add(element)
        elif element.tag in ("input", "button", "a"):
            shown.append(element)
    return shown


def _is_aside(element: HtmlElement) -> bool:
    return element.tag not in ("html", "body") and bool(
        element.tag in _CHROME
        or element.get("hidden") is not None
        or element.get("aria-hidden", "").lower() == "true"
        or _HIDDEN_STYLE.search(element.get("style", ""))
        or _CHROME_NAME.search(f"{element.get('class', '')} {element.get('id', '')}")
    )


def _is_soft_404(page: PageText) -> bool:
    names = list(_names(page))
    if any(map(_NOT_FOUND.fullmatch, names)):
        limit = MAX_SOFT_404_WORDS
    elif "" in names and _has_status(page):
        limit = MAX_BARE_404_WORDS
    else:
        return False
    return _count(page.text) <= limit and not any(block.kind in (BlockKind.CODE, BlockKind.TABLE) for block in page.blocks)


def _has_status(page: PageText) -> bool:
    heading = next(_first_heading(page), "")
    return bool(_MISSING.search(page.title) or _MISSING.search(heading))


def _names(page: PageText) -> Iterator[str]:
    """The parts of the title and the first heading, without what error pages put around their message."""
    for name in (*_TITLE_SEPARATOR.split(page.title), *_first_heading(page)):
        plain = name[:_MAX_NAME_CHARS].casefold().replace("’", "'").strip()
        start = _FRINGE.match(plain)
        plain = plain[start.end() :] if start else plain
        words = plain.split()
        while words and _FRINGE.fullmatch(words[-1]):
            words.pop()
        yield _TAIL.sub("", " ".join(words))


def _first_heading(page: PageText) -> Iterator[str]:
    for block in page.blocks[:3]:
        if block.kind is BlockKind.HEADING:
            yield page.text[block.start : block.end].lstrip("# ")
            return


def _count(text: str) -> int:
    return len(words_of(text[:_COUNTED_CHARS]))
