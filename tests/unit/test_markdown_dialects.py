"""What documentation generators add to Markdown: wrapping goes, what it wraps is read, code stays as it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ingest.extract.document import ExtractedPage, extract
from ingest.extract.markdown.reader import read_markdown
from ingest.extract.markdown.scanning import MAX_WASTED_CHARS, find_tag_end
from tests.unit.test_extract import check_spans, golden


def read(source: str, *, url: str = "http://site.test/docs/page.md") -> ExtractedPage:
    extracted = extract(source.encode(), url=url, content_type="text/markdown", charset=None)
    check_spans(extracted)
    return extracted


def text_of(source: str, *, url: str = "http://site.test/docs/page.md") -> str:
    return read(golden(source), url=url).page.text


class TestContainers:
    def test_colons_of_docusaurus_and_tabs_of_mkdocs(self) -> None:
        assert text_of("""
            import Tabs from '@theme/Tabs';

            # Lock

            :::tip
            Ring the **bell**.
            :::

            === "By boat"

                Wait at `gate 2`.

            === "On foot"

                - Take the bridge.
        """) == golden("""
            # Lock

            Tip: Ring the bell.

            By boat: Wait at gate 2.

            On foot:

            - Take the bridge.
        """)

    @pytest.mark.parametrize(
        ("opening", "lead"),
        [
            (":::note", "Note: "),
            (":::warning Deep water", "Deep water: "),
            (":::danger[Deep *water*]", "Deep water: "),
            (":::tip[Deep water]{#deep}", "Deep water: "),
            (':::info{title="Deep water"}', "Deep water: "),
            ("::: details Deep water", "Deep water: "),
            ('::: {.callout-note title="Deep water"}', "Deep water: "),
            ("::: {.callout-caution collapse=true}", "Caution: "),
            (":::{important}", "Important: "),
            (":::{admonition} Deep water\n:class: tip", "Deep water: "),
            (":::{tab-item} Deep water", "Deep water: "),
            ("::::::tip", "Tip: "),
            ("/// note | Deep water", "Deep water: "),
            ("/// warning\n    open: true\n", "Warning: "),
            ("::: columns", ""),
            ("::: {.column width=50%}", ""),
        ],
    )
    def test_colon_containers(self, opening: str, lead: str) -> None:
        closing = "///" if opening.startswith("/") else ":::"
        assert read(f"{opening}\nText.\n{closing}\n\nAfter.").page.text == f"{lead}Text.\n\nAfter."

    def test_nested_containers_in_lists(self) -> None:
        assert text_of("""
            - Item

              ::::note[Outer]
              One.

              :::warning
              Two.
              :::

              ```
              :::tip
              ```
              ::::
        """) == golden("""
            - Item

            Outer: One.

            Warning: Two.

            ```
            :::tip
            ```
        """)

    def test_what_is_never_closed_swallows_nothing(self) -> None:
        assert text_of("""
            :::tip
            One.

            ```{note}
            Two.

            <Card title="Three">

            {% hint style="info" %}
            Four.

            # Last
        """) == golden("""
            Tip: One.

            Note: Two.

            Three:

            Info: Four.

            # Last
        """)

    def test_indented_containers_keep_code_with_blank_lines(self) -> None:
        assert text_of("""
            !!! note "On *locks*"

                First.

                ```python
                a = 1


                b = 2
                ```

                Last.

            ??? question
                Folded.

            ???+ warning ""
                Bare.

            !!! tip inline end
                Aside.
        """) == golden("""
            On locks: First.

            ```python
            a = 1


            b = 2
            ```

            Last.

            Question: Folded.

            Bare.

            Tip: Aside.
        """)

    def test_tabs_with_code_and_titles_of_code(self) -> None:
        assert text_of("""
            ::: code-group

            ```sh [npm]
            npm i lock
            ```

            ```js title="lock.js" {1,3}
            open()
            ```

            ``` {.yaml filename="lock.yml"}
            a: 1
            ```
            :::

            === "C"

                ```c
                int a;
                ```
        """) == golden("""
            npm:

            ```sh
            npm i lock
            ```

            lock.js:

            ```js
            open()
            ```

            lock.yml:

            ```yaml
            a: 1
            ```

            C:

            ```c
            int a;
            ```
        """)

    def test_directives_between_fences(self) -> None:
        assert text_of("""
            ````{note}
            One.

            ```{code-block} python
            x = 1
            ```
            ````

            ```{versionadded} 2.1
            Locks.
            ```

            ```{toctree}
            a
            b
            ```

            ```{python}
            y = 2
            ```
        """) == golden("""
            Note: One.

            ```python
            x = 1
            ```

            Added in version 2.1: Locks.

            ```python
            y = 2
            ```
        """)

    @pytest.mark.parametrize("kind", ["[!WARNING]", "[!warning]-", "[!example] Warning"])
    def test_alerts(self, kind: str) -> None:
        assert read(f"> {kind}\n> Deep water.").page.text == "> Warning: Deep water."
        assert read(f"```\n> {kind}\n```").page.text == f"```\n> {kind}\n```"


class TestMdx:
    def test_components_are_unwrapped_and_their_content_is_markdown(self) -> None:
        assert text_of("""
            import {
              Tabs,
              TabItem,
            } from '@theme/Tabs';
            import './page.css';

            export const meta = {
              title: 'Told title',
            };

            export function Hull({ children }) {
              return (
                <b>{children}</b>
              );
            }

            {/* a comment
                over lines */}

            <Tabs groupId="os" values={[
              {label: 'Linux', value: 'linux'},
            ]}>
              <TabItem value="linux" label="Linux">
                Run **this**:

                1. One
                   - Deep

                ```bash
                harbour  start
                ```
              </TabItem>
              <TabItem value="mac">Nothing to `do`.</TabItem>
            </Tabs>

            <Callout type="warning">
              Mind {"the"} gap, <Highlight color={'red' > 'blue'}>all</Highlight> of you.{/* here */}
            </Callout>

            <Card title="Fees &amp; fines" href="/fees" />
            <ParamField path="id" type="string" required>The boat.</ParamField>

            The <Badge text="New" /> lock is <Hull>here</Hull>: `{frontMatter.title}` is {frontMatter.title}, not {id}.
        """) == golden("""
            Linux: Run this:

            1. One
              - Deep

            ```bash
            harbour  start
            ```

            mac: Nothing to do.

            Warning: Mind the gap, all of you.

            Fees & fines

            id (string, required): The boat.

            The New lock is here: {frontMatter.title} is , not {id}.
        """)

    def test_facts_that_a_statement_exports(self) -> None:
        extracted = read("export const meta = {\n  title: 'Told title',\n  lang: 'de',\n}\n\nText.\n")
        assert (extracted.page.title, extracted.page.language, extracted.page.text) == ("Told title", "de", "Text.")

    def test_prose_and_code_that_look_alike_stay(self) -> None:
        prose = "import duties are due from 'abroad'.\n\nimport fish from 'abroad' or not.\n\nexport of fish is free.\n\n"
        assert read(prose + "```js\nimport a from 'a';\n<Tabs>\n```\n\n`<Tab>`").page.text == (
            prose + "```js\nimport a from 'a';\n<Tabs>\n```\n\n<Tab>"
        )
        assert read("Text.\n\n    <Tabs>\n    indented code").page.text == "Text.\n\n```\n<Tabs>\nindented code\n```"

    def test_tabs_named_by_what_holds_them(self) -> None:
        source = "<Tabs items={['npm', \"yarn\"]}>\n  <Tabs.Tab>One.</Tabs.Tab>\n  <Tabs.Tab>Two.</Tabs.Tab>\n</Tabs>"
        assert read(source).page.text == "npm: One.\n\nyarn: Two."

    def test_tabs_on_one_line(self) -> None:
        source = '<Tabs><TabItem label="Linux">Run **it**.</TabItem><TabItem label="Windows">No.</TabItem></Tabs>'
        assert read(source).page.text == "Linux: Run it.\n\nWindows: No."

    def test_links_of_components_are_followed(self) -> None:
        assert read('<LinkCard title="Fees" href="/fees" />\n\nSee <Link to="/locks">locks</Link>.').links == (
            "http://site.test/fees",
            "http://site.test/locks",
        )

    def test_html_without_blank_lines_is_markdown_where_it_says_so(self) -> None:
        assert read('<div class="grid" markdown>\nSome **bold**.\n</div>\nAfter *it*.').page.text == "Some bold.\n\nAfter it."
        assert read("<section>\n\n  Some **bold**.\n\n</section>\n", url="http://s.test/a.mdx").page.text == "Some bold."


class TestTemplateTags:
    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ('{% hint style="warning" %}\nMind it.\n{% endhint %}', "Warning: Mind it."),
            ('{% tabs %}\n{% tab title="Linux" %}\nRun it.\n{% endtab %}\n{% endtabs %}', "Linux: Run it."),
            ("{% raw %}\nText.\n{% endraw %}", "Text."),
            ("{% highlight ruby linenos %}\ndef a\n  1\n{% endhighlight %}", "```ruby\ndef a\n  1\n```"),
            ("{% comment %}\nGone.\n{% endcomment %}\nText.", "Text."),
            ('{% include note.html content="Mind it." %}', "Note: Mind it."),
            ("{% if a > b %}Text.{% endif %}", "Text."),
            ('{{< tab "Linux" >}}\nRun *it*.\n{{< /tab >}}', "Linux: Run it."),
            ('{{% alert title="Careful" color="warning" %}}\nMind it.\n{{% /alert %}}', "Careful: Mind it."),
            ('{{< callout type="tip" >}}\nMind it.\n{{< /callout >}}', "Tip: Mind it."),
            ('A {{< glossary_tooltip text="pod" term_id="p" >}} runs.', "A pod runs."),
            ("{{< highlight go >}}\nx :=  1\n{{< /highlight >}}", "```go\nx :=  1\n```"),
            ("Needs Python {{ minimum }} or newer.", "Needs Python {{ minimum }} or newer."),
            ("`{% raw %}` and `{{</* note */>}}`", "{% raw %} and {{< note >}}"),
        ],
    )
    def test_tags_go_and_their_content_stays(self, source: str, text: str) -> None:
        assert read(source).page.text == text

    @pytest.mark.parametrize("line", ['--8<-- "a.md"', "<<< @/a.js", "{% include a.html %}", '```\n--8<-- "a.py"\n```'])
    def test_text_of_other_files_is_noted_as_not_read(self, line: str) -> None:
        extracted = read(f"Text.\n\n{line}\n\nAfter.")
        assert extracted.page.text == "Text.\n\nAfter."
        assert extracted.notes == ("1 text that the document takes from other files were not read",)


class TestInline:
    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("# Fees {#fees}", "# Fees"),
            ("# Fees {: .big }", "# Fees"),
            ("[Pay](a.md){ .button } now.", "Pay now."),
            ('See [the *fees*]({{< ref "/fees.md" >}}) and [locks]({% link locks.md %}).', "See the fees and locks."),
            ("Text.\n{: .lead }", "Text."),
            ("Text.\n{ .annotate }", "Text."),
            ("A [word]{.smallcaps}.", "A word."),
            ("An ==important== word.", "An important word."),
            ("Press ++ctrl+c++.", "Press ctrl+c."),
            ("See [[Fees|the fees]] and [[Locks]].", "See the fees and Locks."),
            ("See {ref}`the fees <fees>`.", "See the fees."),
            ("a == b and c == d; i++ and j++", "a == b and c == d; i++ and j++"),
            ("Dict {a: 1} and {x}", "Dict {a: 1} and {x}"),
            (":smile: stays", ":smile: stays"),
            ("[TOC]\n\nText.", "Text."),
            ("*[HTML]: Hyper Text", "HTML: Hyper Text"),
        ],
    )
    def test_marks_go_and_words_stay(self, source: str, text: str) -> None:
        assert read(source).page.text == text

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("The fee is ~~20~~ 35 euro.", "The fee is ~~20~~ 35 euro."),
            ("The fee is ~20~ 35 euro.", "The fee is ~~20~~ 35 euro."),
            ("The fee is {--20--} {++35++} euro.", "The fee is ~~20~~ 35 euro."),
            ("The fee is {~~20~>35~~} euro.", "The fee is ~~20~~ 35 euro."),
            ("The fee is <s>20</s> 35 euro.", "The fee is ~~20~~ 35 euro."),
            ("10^6^ wicks of 10<sup>-3</sup> g", "10^6 wicks of 10^-3 g"),
            ("10{sup}`6` wicks", "10^6 wicks"),
            ("H~2~O and 2^10 and 2^10*2^5", "H2O and 2^10 and 2^10*2^5"),
            ("about ~20 or ~30 boats", "about ~20 or ~30 boats"),
        ],
    )
    def test_what_changes_the_meaning_is_kept(self, source: str, text: str) -> None:
        assert read(source).page.text == text

    def test_task_lists(self) -> None:
        assert read("- [ ] open\n- [x] done").page.text == "- [ ] open\n- [x] done"


class TestFrontMatter:
    @pytest.mark.parametrize(
        "source",
        [
            '---\ntitle: "Told title"\ncSpell:ignore: a b\ntags: [a, b]\nlist:\n- x\n---\n',
            "---\ntitle: >-\n  Told\n  title\nother: 1\n---\n",
            '+++\ntitle = "Told title"\n[menu]\nweight = 1\n+++\n',
            '{\n  "title": "Told title",\n  "tags": ["a"]\n}\n',
            ';;;\n{"title": "Told title"}\n;;;\n',
        ],
    )
    def test_title(self, source: str) -> None:
        extracted = read(f"{source}\nText.")
        assert (extracted.page.title, extracted.page.text) == ("Told title", "Text.")

    def test_braces_that_are_no_metadata(self) -> None:
        assert read("{\nnot json\n}\n\nText.").page.text == "{ not json }\n\nText."


@pytest.mark.parametrize(
    "hostile",
    [
        lambda n: "<A {" * n,
        lambda n: '<A "' * n,
        lambda n: "\n\n<A x={`".join([""] * n),
        lambda n: ":::tip\n" * n,
        lambda n: "```{note}\n" * n,
        lambda n: "{% highlight a %}\n" * n,
        lambda n: ":::{toctree}\n" * n,
        lambda n: "export const a = {\n\n" * n,
        lambda n: "{--" * n,
        lambda n: "==a " * n,
        lambda n: "[[a" * n,
        lambda n: "{/* " * n,
        lambda n: "{{< a " * n,
        lambda n: '!!! note "a"\n' * n,
        lambda n: "{: " * n,
        lambda n: "a^b" * n,
        lambda n: "<Tab>" * n,
        lambda n: "{a" + ".a" * n,
    ],
)
def test_time_grows_with_the_text(hostile: Callable[[int], str]) -> None:
    """Beginnings without ends cost no more than their length: ten times the text, not a hundred times the seconds."""

    def seconds(text: str) -> float:
        started = time.process_time()
        read_markdown(text, url="http://site.test/a.md")
        return time.process_time() - started

    small, large = hostile(1_500), hostile(15_000)
    seconds(hostile(10))
    assert seconds(large) < max(2.0, 30 * seconds(small))


def test_beginnings_without_ends_are_read_so_often_and_no_more() -> None:
    env: dict[str, int] = {}
    source = "<A {" * 4_000
    assert not any(find_tag_end(source, start, env) for start in range(0, len(source), 4))
    assert env["wasted"] < 2 * MAX_WASTED_CHARS


class TestWhatOnlyTheGeneratorReads:
    @pytest.mark.parametrize(
        ("options", "lead"),
        [
            (":linenos:\n:caption: Lighting\n\n", "Lighting:\n\n"),
            (":emphasize-lines: 1,2\n", ""),
            ("---\nlineno-start: 4\ntags: [a]\n---\n", ""),
            ("#| label: fig-lamps\n#| echo: false\n", ""),
            ('#| fig-cap: "Lamps by day"\n', "Lamps by day:\n\n"),
        ],
    )
    def test_options_before_code(self, options: str, lead: str) -> None:
        source = f"```{{code-block}} python\n{options}light(4)\n:key: kept\n```"
        assert text_of(source) == f"{lead}```python\nlight(4)\n:key: kept\n```"

    def test_such_lines_in_plain_code_are_code(self) -> None:
        code = "```yaml\n:linenos:\n#| label: x\n```"
        assert text_of(code) == code

    def test_labels_and_comments_of_myst(self) -> None:
        assert text_of("(lamp-rules)=\n# Rules\n\n% not for readers\nSee {ref}`lamp-rules`.\n") == "# Rules\n\nSee lamp-rules."
        assert text_of("Of all lamps 40\n% are lit.") == "Of all lamps 40\n% are lit.".replace("\n", " ")

    def test_kramdown(self) -> None:
        source = '{::nomarkdown}kept{:/} and {::options parse_block_html="true" /}more\n\n{::comment}\ngone\n{:/comment}\n\nEnd.'
        assert text_of(source) == "kept and more\n\nEnd."
        assert text_of("# Rules {-}\n\nThe set {-} is no mark.") == "# Rules\n\nThe set {-} is no mark."

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("- :material-clock-fast:{ .lg .middle } __Quick__", "- Quick"),
            ("[:octicons-arrow-right-24: Read on](a.md)", "Read on"),
            ("| A | B |\n|---|---|\n| :material-check: | :fontawesome-solid-xmark: |", "| A | B |\n| --- | --- |\n| ✓ | ✗ |"),
            ("| A | B |\n|---|---|\n| :white_check_mark: | :x: |", "| A | B |\n| --- | --- |\n| ✓ | ✗ |"),
            ("| A |\n|---|\n| :material-lock-open: |", "| A |\n| --- |\n| lock open |"),
            ("At 10:30:15 in a::b :tada: `:material-check:`", "At 10:30:15 in a::b :tada: :material-check:"),
        ],
    )
    def test_icons(self, source: str, text: str) -> None:
        assert text_of(source) == text

    def test_title_and_caption_of_a_figure(self) -> None:
        shown = text_of('{{< figure src="a.png" title="The crane" caption="It turns" >}}\n\nAfter.')
        assert shown.index("The crane") < shown.index("It turns") < shown.index("After.")
