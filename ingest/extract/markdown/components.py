"""What a component, container, directive or template tag shows of itself: its title, and text that stands in its attributes.

All dialects wrap Markdown in named things with attributes: ``<Card title="…">`` (MDX), ``:::tip[…]`` (remark), ``{% hint
style="info" %}`` (GitBook, Jekyll), ``{{< tab "…" >}}`` (Hugo). The wrapping goes, its content is read as Markdown, and what
it shows itself leads the content in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape


def word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ADMONITIONS = word_set(
    "note tip info warning danger caution important hint success check question help faq attention error failure bug "
    "example abstract summary tldr quote cite seealso todo secondary alert notice critical"
)
_KINDS = ("type", "kind", "style", "variant", "severity", "intent", "level", "status", "color")
_TYPED = word_set("callout aside admonition alert hint notice message infobox highlightbox banner blockquote")
_TITLES = ("title", "label", "heading", "header", "summary", "question", "caption")
_TEXTS = ("description", "subtitle", "content", "text", "body")
_TABS = word_set("tab tabitem tabpanel tabs-item codetab step")
_PARAMETERS = word_set("paramfield responsefield param property")
_PARAMETER_NAMES = ("path", "query", "body", "header", "name")
# Pictures and what belongs to the page's head: their titles are not shown.
_UNTITLED = word_set("icon image img video iframe youtube head meta themedimage video embed include-code")
# Template tags whose words are names and conditions, not text.
_CONTROL = word_set(
    "if elsif else elseif unless for endfor case when assign capture set macro block extends import cycle link post_url "
    "data ref relref param render layout do with filter call break continue increment decrement rtabs"
)

_ATTRIBUTE = re.compile(
    r"""(?P<key>[\w@:.$-]+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|\{(?P<braced>[^{}]*)\}|(?P<word>[^\s"'{}<>,]+))"""
    r"""|"(?P<text>[^"]*)"|'(?P<text2>[^']*)'|(?P<bare>[^\s"'{}=,<>]+)"""
)
_STRING = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|`([^`$]*)`)\s*""")
_STRINGS = re.compile(r"""["'`]([^"'`]*)["'`]""")


@dataclass(frozen=True, slots=True)
class Component:
    """``name`` in lower case, without a namespace (``Tabs.Tab`` is ``tab``); ``arguments`` are values without a key."""

    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()

    @classmethod
    def parse(cls, name: str, source: str) -> Component:
        """Of a name and what follows it in a tag."""
        attributes: dict[str, str] = {}
        arguments: list[str] = []
        for found in _ATTRIBUTE.finditer(source):
            if key := found["key"]:
                attributes.setdefault(key.lower(), _value(found))
            else:
                arguments.append(next(text for text in (found["text"], found["text2"], found["bare"], "") if text is not None))
        return cls(name.rpartition(".")[2].rpartition(":")[2].lower(), attributes, arguments)

    @property
    def is_tab(self) -> bool:
        return self.name in _TABS

    @property
    def link(self) -> str:
        return next((self.attributes[key] for key in ("href", "to", "url") if self.attributes.get(key)), "")

    @property
    def items(self) -> list[str]:
        """The names of tabs that are listed with what holds them: ``<Tabs items={['npm', 'pnpm']}>``."""
        return _STRINGS.findall(self.attributes.get("items", ""))


@dataclass(frozen=True, slots=True)
class Shown:
    """``title`` leads the content in; ``texts`` are paragraphs of their own. All are Markdown."""

    title: str = ""
    texts: Sequence[str] = ()


def shown_by(component: Component) -> Shown:
    """What a component of MDX or a template tag shows besides its content."""
    name, attributes = component.name, component.attributes
    arguments = [text for text in component.arguments if text not in ("/", "%", "-")]
    if name in _UNTITLED:
        return Shown(attributes.get("caption", ""))
    if name in _CONTROL or name.startswith("end"):
        return Shown()
    if name in _PARAMETERS:
        return Shown(_parameter(attributes, arguments))
    texts = [attributes[key] for key in _TEXTS if attributes.get(key)]
    title = next((attributes[key] for key in _TITLES if attributes.get(key)), "")
    if name == "figure" and (caption := attributes.get("caption", "")) != title:
        texts.append(caption)
    if name == "include":  # Jekyll: {% include note.html content="…" %}
        kind = arguments[0].rpartition("/")[2].partition(".")[0].lower() if arguments else ""
        return Shown(title or (kind.capitalize() if texts and kind in ADMONITIONS else ""), texts)
    if title:
        return Shown(title, texts)
    if name in _TABS:
        title = attributes.get("name") or attributes.get("value") or (arguments[0] if arguments else "")
    elif name in ADMONITIONS or name in _TYPED:
        title = _admonition(component, arguments)
    elif name in ("details", "expand", "accordion", "collapse", "dropdown", "section"):
        title = " ".join(arguments)
    return Shown(title, texts)


def _admonition(component: Component, arguments: Sequence[str]) -> str:
    name = component.name
    kind = next((component.attributes[key] for key in _KINDS if component.attributes.get(key)), "")
    if not kind and arguments and arguments[0].lower() in ADMONITIONS:
        kind, arguments = arguments[0], arguments[1:]
    if titled := [text for text in arguments if " " in text or text[:1].isupper()]:
        return titled[0]
    if kind.lower() in ADMONITIONS:
        return kind.capitalize()
    return name.capitalize() if name in ADMONITIONS else ""


def _parameter(attributes: Mapping[str, str], arguments: Sequence[str]) -> str:
    """A parameter of an API: ``id (string, required, default: 1)``."""
    names = [attributes[key] for key in _PARAMETER_NAMES if attributes.get(key)]
    facts = [attributes["type"]] if attributes.get("type") else []
    facts += [word for word in ("required", "deprecated") if word in arguments]
    if attributes.get("default"):
        facts.append(f"default: {attributes['default']}")
    return f"{' '.join(names)} ({', '.join(facts)})" if facts and names else " ".join(names)


def _value(found: re.Match[str]) -> str:
    if (braced := found["braced"]) is not None:
        string = _STRING.fullmatch(braced)
        if string:
            return next(text for text in (*string.groups(), "") if text is not None)
        return braced if braced.lstrip().startswith("[") else ""  # an expression has no value that could be read here
    return unescape(next(text for text in (found["double"], found["single"], found["word"], "") if text is not None))
