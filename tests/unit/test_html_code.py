"""Code to the letter, from the markup of each highlighter and generator."""
# ruff: noqa: E501 (markup as the tools write it)

from __future__ import annotations

import pytest

from ingest.extract.html.code import code_language
from ingest.extract.html.tree import parse_tree
from tests.unit.written import written

SOURCE = "def haul(x):\n    return 42\n\n7"

# The same four lines as each tool writes them.
PAGES = {
    "Prism": (
        '<pre class="line-numbers language-x" tabindex=0><code class="language-x">def haul(x):\n    return '
        '<span class="token number">42</span>\n\n<span class="token number">7</span>\n'
        '<span aria-hidden=true class="line-numbers-rows"><span></span><span></span></span></code></pre>'
    ),
    "Prism, the class around": '<div class="line-numbers"><pre><code>def haul(x):\n    return 42\n\n7</code></pre></div>',
    "Prism, rows with numbers": (
        '<pre class=line-numbers><code>def haul(x):\n    return 42\n\n7\n<span class="line-numbers-rows"><span>1</span>'
        "<span>2</span><span>3</span><span>4</span></span></code></pre>"
    ),
    "Prism, toolbar": (
        '<div class="code-toolbar"><pre class="language-x"><code>def haul(x):\n    return 42\n\n7</code></pre><div class="toolbar">'
        '<div class="toolbar-item"><span>X</span></div><div class="toolbar-item"><button><span>Copy</span></button></div></div></div>'
    ),
    "Pygments, table": (
        '<div class="highlight"><table class="highlighttable"><tr><td class="linenos"><div class="linenodiv"><pre>'
        '<span class="normal">1</span>\n<span class="normal">2</span>\n<span class="normal">3</span>\n<span class="normal">4</span>'
        '</pre></div></td><td class="code"><div><pre><span></span><span class="k">def</span> haul(x):\n    return 42\n\n'
        '<span class="mi">7</span>\n</pre></div></td></tr></table></div>'
    ),
    "Pygments, inline": (
        '<pre><span></span><span class="linenos">1</span><span class="k">def</span> haul(x):\n<span class="linenos special">2</span>'
        '    return <span class="mi">42</span>\n<span class="linenos">3</span>\n<span class="linenos">4</span><span class="mi">7</span>\n</pre>'
    ),
    "Pygments, anchors": (
        '<pre><span></span><span id="s-1"><a id="l-1" name="l-1"></a><a href="#l-1"><span class="linenos">1</span></a>def haul(x):\n'
        '</span><span id="s-2"><a href="#l-2"><span class="linenos">2</span></a>    return 42\n</span>\n<span id="s-4">7\n</span></pre>'
    ),
    "Pygments without classes": (
        '<pre><span style="padding-left: 5px">1</span><span style="color: #008">def</span> haul(x):\n'
        '<span style="padding-left: 5px">2</span>    return <span style="color: #666">42</span>\n'
        '<span style="padding-left: 5px">3</span>\n<span style="padding-left: 5px">4</span><span style="color: #666">7</span>\n</pre>'
    ),
    "MkDocs Material": (
        '<pre><span></span><code><a id="__codelineno-0-1" name="__codelineno-0-1"></a><span class="linenos" data-linenos="1 "></span>'
        "def haul(x):\n    return 42\n\n7\n</code></pre>"
    ),
    "highlight.js": '<pre><code class="hljs"><span class="hljs-keyword">def</span> haul(x):\n    return 42\n\n7</code></pre>',
    "highlight.js, numbered": (
        '<pre><code class="hljs"><table class="hljs-ln"><tbody>'
        + "".join(
            f'<tr><td class="hljs-ln-line hljs-ln-numbers" data-line-number="{n}"><div class="hljs-ln-n" data-line-number="{n}">{n}</div>'
            f'</td><td class="hljs-ln-line hljs-ln-code" data-line-number="{n}">{line}</td></tr>'
            for n, line in enumerate(SOURCE.split("\n"), 1)
        )
        + "</tbody></table></code></pre>"
    ),
    "Shiki": (
        '<pre class="shiki"><code><span class="line"><span>def</span> haul(x):</span>\n<span class="line">    return 42</span>\n'
        '<span class="line"></span>\n<span class="line">7</span></code></pre>'
    ),
    "Shiki, no line breaks": (
        '<pre class="shiki"><code><span class="line"><span>def</span> haul(x):</span><span class="line">    return 42</span>'
        '<span class="line"></span><span class="line">7</span></code></pre>'
    ),
    "rehype-pretty-code": (
        '<pre><code style="display:grid"><span data-line="">def haul(x):</span>\n<span data-line="">    return 42</span>\n'
        '<span data-line=""></span>\n<span data-line="">7</span></code></pre>'
    ),
    "VuePress": (
        '<div class="line-numbers-mode"><pre><code>def haul(x):\n    return 42\n\n7\n</code></pre><div class="line-numbers-wrapper">'
        '<span class="line-number">1</span><br><span class="line-number">2</span><br></div></div>'
    ),
    "VitePress": (
        '<div class="language-js line-numbers-mode"><button title="Copy Code" class="copy"></button><span class="lang">js</span>'
        '<pre class="shiki"><code><span class="line">def haul(x):</span>\n<span class="line">    return 42</span>\n'
        '<span class="line"></span>\n<span class="line">7</span></code></pre></div>'
    ),
    "Docusaurus": (
        '<pre class="prism-code"><code class="codeBlockLines_e6Vv" style="counter-reset:line-count 0">'
        '<span class="token-line codeLine_lJS_"><span class="codeLineNumber_Tfdd"></span><span>def haul(x):</span><br></span>'
        '<span class="token-line"><span class="token plain">    return 42</span><br></span>'
        '<span class="token-line"><span class="token plain" style="display:inline-block"></span><br></span>'
        '<span class="token-line"><span class="token plain">7</span><br></span></code></pre>'
    ),
    "Docusaurus 2 alpha": (
        '<pre><div class="token-line">def haul(x):</div><div class="token-line">    return 42</div>'
        '<div class="token-line"><span style="display:inline-block">\n</span></div><div class="token-line">7</div></pre>'
    ),
    "Rouge": (
        '<pre class="highlight"><code><table class="rouge-table"><tbody><tr><td class="rouge-gutter gl"><pre class="lineno">1\n2\n3\n4\n'
        '</pre></td><td class="rouge-code"><pre>def haul(x):\n    return 42\n\n7\n</pre></td></tr></tbody></table></code></pre>'
    ),
    "Chroma, table": (
        '<table class="lntable"><tr><td class="lntd"><pre><code><span class="lnt">1\n</span><span class="lnt">2\n</span></code></pre></td>'
        '<td class="lntd"><pre><code><span class="line"><span class="cl">def haul(x):\n</span></span><span class="line">'
        '<span class="cl">    return 42\n</span></span>\n<span class="line"><span class="cl">7\n</span></span></code></pre></td></tr></table>'
    ),
    "Chroma, no classes": (
        '<pre><code><span style="display:flex;"><span style="user-select:none;margin-right:0.4em">1</span><span>def haul(x):\n</span></span>'
        '<span style="display:flex;"><span style="user-select:none">2</span><span>    return 42\n</span></span>'
        '<span style="display:flex;"><span style="user-select:none">3</span><span>\n</span></span>'
        '<span style="display:flex;"><span style="user-select:none">4</span><span>7\n</span></span></code></pre>'
    ),
    "a table without any class": "<table><tr><td><pre>1\n2\n3\n4</pre><td><pre>def haul(x):\n    return 42\n\n7</pre></table>",
    "GitHub": (
        '<table class="js-file-line-container"><tbody>'
        + "".join(
            f'<tr>\n<td class="blob-num" data-line-number="{n}"></td>\n<td class="blob-code js-file-line">{line or chr(10)}</td>\n</tr>'
            for n, line in enumerate(SOURCE.split("\n"), 1)
        )
        + "</tbody></table>"
    ),
    "react-syntax-highlighter": (
        '<pre><code style="white-space: pre;"><span class="linenumber react-syntax-highlighter-line-number">1</span><span>def</span> haul(x):\n'
        '<span class="linenumber react-syntax-highlighter-line-number">2</span>    return 42\n\n7</code></pre>'
    ),
    "Expressive Code": (
        "<pre><code>"
        + "".join(
            f'<div class="ec-line"><div class="gutter"><div class="ln" aria-hidden="true">{n}</div></div><div class="code">{line or chr(10)}</div></div>'
            for n, line in enumerate(SOURCE.split("\n"), 1)
        )
        + "</code></pre>"
    ),
    "SyntaxHighlighter": (
        '<div class="syntaxhighlighter"><table><tbody><tr><td class="gutter"><div class="line number1">1</div><div class="line number2">2</div>'
        '</td><td class="code"><div class="container"><div class="line number1"><code class="k">def</code> <code class="p">haul(x):</code></div>'
        '<div class="line"><code class="s">&nbsp;&nbsp;&nbsp;&nbsp;</code><code class="k">return 42</code></div><div class="line"></div>'
        '<div class="line"><code class="v">7</code></div></div></td></tr></tbody></table></div>'
    ),
    "Doxygen": (
        '<div class="fragment"><div class="line"><a id="l1"></a><span class="lineno">    1</span>def haul(x):</div>\n'
        '<div class="line"><span class="lineno">    2</span>&#160;   return 42</div>\n<div class="line"></div>\n<div class="line">7</div>\n</div>'
    ),
    "GitLab": (
        '<pre class="code highlight"><code><span id="LC1" class="line">def haul(x):</span>\n<span id="LC2" class="line">    return 42</span>\n'
        '<span id="LC3" class="line"></span>\n<span id="LC4" class="line">7</span></code></pre>'
    ),
    "prettify": '<pre class="linenums"><ol class="linenums"><li class="L0">def haul(x):</li><li>    return 42</li><li></li><li>7</li></ol></pre>',
    "a code element for each line": "<pre><code>def haul(x):</code><code>    return 42</code>\n\n<code>7</code></pre>",
    "code shown as a block": '<code class="block">def haul(x):\n    return 42\n\n7</code>',
    "code with breaks": "<p><code>def haul(x):<br>&nbsp; &nbsp; return 42<br><br>7</code></p>",
    "a frame without pre": '<div class="highlight"><code>def haul(x):\n    return 42\n\n7</code></div>',
    "samp": '<samp style="display: block; white-space: pre">def haul(x):\n    return 42\n\n7</samp>',
}


def body_of(text: str) -> str:
    fence, *lines, end = text.split("\n")
    assert fence.startswith("```")
    assert end == "```"
    return "\n".join(lines)


@pytest.mark.parametrize("markup", PAGES.values(), ids=PAGES)
def test_code_is_verbatim(markup: str) -> None:
    lines = body_of(written(markup)).split("\n")
    assert lines == SOURCE.split("\n")


@pytest.mark.parametrize(
    ("markup", "code"),
    [
        ("<pre>42</pre>", "42"),
        ("<pre>1\n2\n3</pre>", "1\n2\n3"),
        ("<pre class=line-numbers>1\n2 boats</pre>", "1\n2 boats"),
        ("<pre><span class=mi>1</span> apple\n<span class=mi>2</span> pears</pre>", "1 apple\n2 pears"),
        ("<pre><span class='token number'>1</span>\n<span class='token number'>2</span>\nend</pre>", "1\n2\nend"),
        ("<pre>x\u00a0= 1\n\ty  \n</pre>", "x\u00a0= 1\n\ty"),
        ("<pre>a <b class=conum>(1)</b>\nb</pre>", "a (1)\nb"),
    ],
)
def test_numbers_that_are_code_stay(markup: str, code: str) -> None:
    assert body_of(written(markup)) == code


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<div class=highlight><span class=filename>app.py</span><pre>x</pre></div>", "app.py\n\n```\nx\n```"),
        (
            "<table class=highlighttable><tr><th colspan=2>app.py<tr><td><pre>1</pre><td><pre>x</pre></table>",
            "app.py\n\n```\nx\n```",
        ),
        ("<div class=code-block-caption><span>app.py</span></div><pre>x</pre>", "app.py\n\n```\nx\n```"),
        ("<figure><figcaption>app.py</figcaption><pre>x</pre></figure>", "app.py\n\n```\nx\n```"),
        ("<div><span class=lang>bash</span><a class=copy-btn>Copy</a><pre>x</pre></div>", "```\nx\n```"),
        ("<div><pre>x</pre><div class='clipboard-copy'>Copied!</div></div>", "```\nx\n```"),
        ("<p class=lang>Breton</p><p>is spoken here.</p>", "Breton\n\nis spoken here."),
        ("<p><span class=copy>Copy that.</span></p>", "Copy that."),
        ("<div class=highlight>Seen from <b>afar</b>.</div>", "Seen from afar."),
        ("<p>Use <code>x</code> or <kbd>y</kbd>.</p>", "Use x or y."),
        ("<div class=line-numbers><p>Each line has a number.</p></div>", "Each line has a number."),
    ],
)
def test_what_stands_around_code(markup: str, text: str) -> None:
    assert written(markup) == text


@pytest.mark.parametrize(
    ("markup", "language"),
    [
        ("<pre><code class='language-js'>", "js"),
        ("<pre class='language-C++'>", "c++"),
        ("<pre><code class='hljs language-js'>", "js"),
        ("<pre><code class='hljs python'>", "python"),
        ("<pre><code class='lang-rust'>", "rust"),
        ("<div class='highlight-python3 notranslate'><div class=highlight><pre>", "python3"),
        ("<div class='language-ruby highlighter-rouge'><div class=highlight><pre class=highlight>", "ruby"),
        ("<div class='highlight highlight-source-shell'><pre>", "shell"),
        ("<pre class='brush: java; gutter: false'>", "java"),
        ("<pre class='sourceCode haskell'>", "haskell"),
        ("<pre data-language=toml>", "toml"),
        ("<pre><code data-lang=go>", "go"),
        ("<div class='highlight-default notranslate'><pre>", ""),
        ("<pre><code class='language-plaintext'>", ""),
        ("<pre class='language-\"><script>'>", ""),
        ("<pre class=highlight>", ""),
    ],
)
def test_the_language_that_markup_names(markup: str, language: str) -> None:
    root = parse_tree(f"<!doctype html><body>{markup}x").root
    assert code_language(next(root.iter("pre"))) == language
    assert written(f"{markup}x") == f"```{language}\nx\n```"
