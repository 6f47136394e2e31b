"""Pages that answer 200 and mean no, and pages about such pages, which are to be kept."""

from __future__ import annotations

import time

import pytest

from ingest.extract.document import extract
from ingest.extract.html.refusals import Refusal, is_sign_in_address

LOGIN, MISSING = Refusal.LOGIN_REQUIRED, Refusal.SOFT_404
PASSWORD = (
    "<form method=post><label>Name <input name=username></label><label>Password <input type=password name=p></label>{}</form>"
)
FORM = PASSWORD.format("<button>Go</button>")
WORDS = "The harbour office opens at seven and lets boats in by the order of their arrival, as the board by the gate says. "
MENU = "".join(f"<li><a href=/{n}>Part {n}</a></li>" for n in range(80))


def refusal(body: str, *, title: str = "", url: str = "http://site.test/docs/page") -> Refusal | None:
    markup = f"<html lang=en><head><title>{title}</title></head><body>{body}</body></html>"
    return extract(markup.encode(), url=url, content_type="text/html", charset="utf-8").refusal


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("Sign in", f"<main><h1>Sign in</h1><p>Please sign in to read the harbour book.</p>{FORM}</main>"),
        ("Harbour book", f"<h2>Log in</h2>{FORM}<p>Forgotten your password?</p>"),
        ("Log in | Harbour administration", FORM),
        ("Anmeldung", f"<div id=content><div class=box><h1>Bitte anmelden</h1>{FORM}</div></div>"),
        ("Connexion - Port", FORM),
        ("Iniciar sesión", FORM),
        ("ログイン", FORM),
        ("Вход в систему", FORM),
        ("Harbour", f"<p>Welcome to the harbour.</p>{FORM}"),
        ("Harbour", "<p>Welcome.</p><div><input type=text name=u><INPUT TYPE=Password name=p><a href=/go>Enter</a></div>"),
        ("Sign in", f"<nav><ul>{MENU}</ul></nav><main>{FORM}</main><footer>{WORDS * 3}</footer>"),
        ("Sign in to your account", "<form><input type=email name=loginfmt><input type=submit value=Next></form>"),
        ("Sign in", "<form><input name=identifier id=user><button>Sign in</button></form><p>By your work address.</p>"),
        ("Log in", "<h1>Log in</h1><a href=/oauth/google>Continue with Google</a><a href=/oauth/x>Continue with SSO</a>"),
        ("Working", "<body onload=x()><form action=//idp.test method=post><input type=hidden name=SAMLRequest value=x></form>"),
        ("Authentication required", f"<header><a href=/>Home</a></header><section>{FORM}</section>"),
    ],
)
def test_a_sign_in_form_with_little_else_is_no_page(title: str, body: str) -> None:
    assert refusal(body, title=title) is LOGIN


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("Harbour", "<h1>Welcome</h1><a href=/oauth/google>Continue with Google</a>"),
        ("Harbour", f"<h1>Welcome</h1><p>{WORDS * 3}</p>{FORM}"),
        ("Sign in", f"<h1>Sign in</h1><p>{WORDS * 7}</p>{FORM}"),
        ("Harbour", "<p>Hello.</p><form><input name=username><button>Weiter</button></form>"),
    ],
)
def test_the_address_of_a_sign_in_page_is_a_sign(title: str, body: str) -> None:
    assert refusal(body, title=title, url="http://site.test/users/sign_in?to=/docs") is LOGIN
    assert refusal(body, title=title) is None
    assert refusal(f"<p>{WORDS * 9}</p>{body}", title=title, url="http://site.test/login") is None


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("How to log in", f"<main><h1>How to log in</h1><p>{WORDS * 6}</p></main>"),
        ("How to log in", "<main><h1>How to log in</h1><p>Press the green button at the gate.</p></main>"),
        ("Sign in forms", f"<main><h1>Sign in forms</h1><p>{WORDS * 6}</p>{FORM}</main>"),
        ("Sign in forms", f"<main><p>The field of a password:</p><pre><code>&lt;input&gt;</code></pre>{FORM}</main>"),
        ("Opening hours", f"<header>{FORM}</header><main><h1>Opening hours</h1><p>From seven to nine.</p></main>"),
        ("Opening hours", f"<div class='site-header x'>{FORM}</div><p>From seven to nine.</p>"),
        ("Log in", f"<div id=login-modal>{FORM}</div><main><p>From seven to nine.</p></main>"),
        ("Opening hours", f"<div style='display: none'>{FORM}</div><p>From seven to nine.</p>"),
        ("Opening hours", f"<div hidden>{FORM}</div><p>From seven to nine.</p>"),
        ("Opening hours", f"<dialog>{FORM}</dialog><p>From seven to nine.</p>"),
        ("Opening hours", f"<aside><h2>Sign in</h2>{FORM}</aside><p>From seven to nine.</p>"),
        ("Harbour", f"<table><tr><td>{FORM}<td><ul>{MENU}</ul></table>"),
        ("Log in", f"<form id=aspnetForm><h1>Log in</h1><p>{WORDS * 10}</p><input type=password></form>"),
        ("Join us", "<h1>Join us</h1><form><input type=password autocomplete=new-password></form><p>It is free.</p>"),
        ("Sign in by post", "<h1>Sign in by post</h1><p>Write to us.</p><form><input type=email name=email>Subscribe</form>"),
        ("News", "<h1>News</h1><p>Write to us.</p><form><input type=email name=email><button>Next</button></form>"),
        ("入港", f"<p>{'港の事務所は七時に開きます。' * 20}</p>{FORM}"),
    ],
)
def test_a_page_about_signing_in_or_with_a_form_in_its_frame_is_kept(title: str, body: str) -> None:
    assert refusal(body, title=title) is None


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("Page not found", "<main><h1>Page not found</h1><p>Go back to the start.</p></main>"),
        ("Page not found – Harbour", "<main><p>It looks like nothing is here.</p></main>"),
        ("Harbour | 404 Not Found", "<p>Sorry.</p>"),
        ("Harbour", "<main><h1>404 - Page not found</h1><p>Sorry.</p></main>"),
        ("Harbour", "<main><h1>Oops! That page can’t be found.</h1><p>Sorry.</p></main>"),
        ("Error 404 (Not Found)!!1", "<p>That’s an error.</p>"),
        ("404", "<h1>404</h1><p>This page does not exist.</p>"),
        ("Not Found", "<h1>Not Found</h1><p>The requested URL was not found on this server.</p>"),
        ("The page you requested was not found", "<p>Sorry.</p>"),
        ("We can't find that page", "<p>Sorry.</p>"),
        ("File not found · Harbour", "<p>Sorry.</p>"),
        ("This page doesn't exist", "<p>Sorry.</p>"),
        ("Seite nicht gefunden", "<p>Zur Startseite.</p>"),
        ("Fehler 404 – Seite wurde nicht gefunden", "<p>Zur Startseite.</p>"),
        ("Page introuvable - Port", "<p>Retour.</p>"),
        ("Erreur 404 : page non trouvée", "<p>Retour.</p>"),
        ("Página no encontrada", "<p>Volver.</p>"),
        ("Pagina non trovata | Porto", "<p>Torna.</p>"),
        ("Página não encontrada", "<p>Voltar.</p>"),
        ("Pagina niet gevonden", "<p>Terug.</p>"),
        ("Sidan hittades inte", "<p>Tillbaka.</p>"),
        ("Nie znaleziono strony", "<p>Wstecz.</p>"),
        ("Страница не найдена", "<p>Назад.</p>"),
        ("ページが見つかりません", "<p>戻る</p>"),
        ("404 页面不存在", "<p>返回</p>"),
        ("페이지를 찾을 수 없습니다", "<p>뒤로</p>"),
    ],
)
def test_not_found_with_little_else_is_no_page(title: str, body: str) -> None:
    assert refusal(body, title=title) is MISSING


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("404 Not Found - HTTP", f"<main><h1>404 Not Found</h1><p>{WORDS * 8}</p></main>"),
        ("404 Not Found", "<main><h1>404 Not Found</h1><p>The status line:</p><pre>HTTP/1.1 404 Not Found</pre></main>"),
        ("Not found", "<main><h1>Not found</h1><table><tr><th>Code<th>Cause<tr><td>404<td>No such page</table></main>"),
        ("Why is my page not found?", "<main><h1>Why is my page not found?</h1><p>The crawler was kept out.</p></main>"),
        ("How to make a 404 page", "<main><h1>How to make a 404 page</h1><p>Write it and name it.</p></main>"),
        ("Page not found errors", "<main><h1>Page not found errors</h1><p>See the log.</p></main>"),
        ("404", f"<main><h1>404</h1><p>{WORDS * 3}</p></main>"),
        ("Lost and found", "<main><h1>Lost and found</h1><p>At the gate.</p></main>"),
        ("", "<main><p>Nothing more.</p></main>"),
        ("!!!", "<main><h1>!!!</h1><p>A band.</p></main>"),
    ],
)
def test_a_page_about_what_is_not_found_is_kept(title: str, body: str) -> None:
    assert refusal(body, title=title) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/login?next=/a", True),
        ("https://h/wp-login.php?redirect_to=x", True),
        ("https://h/accounts/login/", True),
        ("https://h/users/sign_in", True),
        ("https://h/user-login.aspx", True),
        ("https://login.h.test/common/oauth2/authorize?client_id=1", True),
        ("https://accounts.h.test/v3/start?continue=x", True),
        ("https://h/saml2/idp/SSOService.php?SAMLRequest=x", True),
        ("https://h/docs/auth/tokens", False),
        ("https://h/docs/login/examples", False),
        ("https://auth.h.test/docs/", False),
        ("https://h/blog?in=login", False),
        ("http://[", False),
    ],
)
def test_addresses_of_sign_in_pages(url: str, expected: bool) -> None:
    assert is_sign_in_address(url) is expected


@pytest.mark.parametrize(
    "piece",
    [
        "<a href=/x>sign in with x</a>",
        "<h1>log in",
        "<input type=password>",
        "<form><input type=email>",
        "<div class='header x'>",
    ],
)
def test_no_page_takes_more_than_linear_time(piece: str) -> None:
    body = f"<title>Sign in</title>{FORM}" + piece * (300_000 // len(piece))
    started_s = time.perf_counter()
    extract(body.encode(), url="http://h/", content_type="text/html", charset="utf-8")
    assert time.perf_counter() - started_s < 15.0
