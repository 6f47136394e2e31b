"""The reference of all settings, which users read, is the settings' own declarations."""

from pathlib import Path

from corpus.settings import Settings
from footnote.configuration import current, reference, rows

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_in_docs_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "run: footnote settings --markdown > docs/configuration.md"


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in rows() if not field.description] == []


def test_current_values_cover_every_setting() -> None:
    values = current(Settings(server={"port": 9001}))
    assert values["server.port"] == 9001
    assert set(values) == {name for name, _ in rows()}
