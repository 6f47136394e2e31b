"""The reference of all settings, made from their declarations: ``docs/configuration.md`` is its output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from corpus.settings import Section, Settings

INTRODUCTION = """\
# Settings

This page is made from the settings' declarations by `footnote settings --markdown`.

A setting `section.name` is given in `footnote.toml` as

```toml
[section]
name = value
```

or in the environment as `FOOTNOTE_SECTION__NAME=value`, which is stronger. `FOOTNOTE_CONFIG` names another file. In the
environment, lists are written with commas or as JSON, and tables (`ingest.selectors`) as JSON. Unknown names and values out of
bounds are refused at start-up.

Secrets need stand in neither: `FOOTNOTE_SECRETS_DIR` names a folder of files that are each called like the variable they replace
(`FOOTNOTE_DATABASE__URL`), which is how Docker and Kubernetes hand them over. The environment is stronger than they, they are
stronger than `footnote.toml`.
"""


def rows(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its dotted name, sections in the order of their declaration."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from rows(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def reference() -> str:
    """The Markdown page."""
    parts = [INTRODUCTION]
    section = None
    for name, field in rows():
        head = name.rpartition(".")[0]
        if head != section:
            section = head
            parts.append(f"\n## {head or 'general'}\n\n| setting | default | bounds | what it does |\n|---|---|---|---|\n")
        parts.append(f"| `{name}` | {_default(field)} | {_bounds(field)} | {field.description or ''} |\n")
    return "".join(parts)


def current(settings: Settings) -> dict[str, Any]:
    """Every setting's value in force, by dotted name."""
    values = settings.model_dump(mode="json")
    found = {}
    for name, _ in rows():
        value: Any = values
        for part in name.split("."):
            value = value[part]
        found[name] = value
    return found


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "empty" if field.default_factory in (list, dict) else "`~/.local/share/footnote`"
    return f"`{field.default}`" if field.default not in (None, "") else "none"


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{sign} {getattr(limit, name)}" for limit in field.metadata for name, sign in signs.items() if hasattr(limit, name)]
    return ", ".join(found)
