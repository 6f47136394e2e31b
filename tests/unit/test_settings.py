"""Where settings come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.errors import StartupError
from corpus.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no footnote.toml but the test's own


def toml(text: str, name: str = "footnote.toml") -> None:
    Path(name).write_text(text)


def test_defaults_need_no_file_and_no_environment() -> None:
    settings = load_settings()
    assert settings.server.host == "127.0.0.1"
    assert settings.index.embedder == "all-MiniLM-L6-v2"
    assert settings.ingest.allow_private_hosts == []


def test_the_environment_names_section_and_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOOTNOTE_SERVER__PORT", "9000")
    monkeypatch.setenv("FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS", "intranet.example, 10.0.0.7:8080,")
    monkeypatch.setenv("FOOTNOTE_DATA_DIR", str(tmp_path / "d"))
    settings = load_settings()
    assert settings.server.port == 9000
    assert settings.ingest.allow_private_hosts == ["intranet.example", "10.0.0.7:8080"]
    assert settings.data_dir == tmp_path / "d"


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        ('["intranet.example", "10.0.0.7:8080"]', ["intranet.example", "10.0.0.7:8080"]),
        ('  [ "intranet.example" ]\n', ["intranet.example"]),
        ("[]", []),
        ("[::1]:8080,[fd00::7]", ["[::1]:8080", "[fd00::7]"]),  # addresses, no JSON
    ],
)
def test_a_list_in_the_environment_may_be_json(monkeypatch: pytest.MonkeyPatch, value: str, hosts: list[str]) -> None:
    monkeypatch.setenv("FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS", value)
    assert load_settings().ingest.allow_private_hosts == hosts


def test_a_list_that_begins_as_json_and_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_INGEST__ALLOW_PRIVATE_HOSTS", '["intranet.example", ')
    with pytest.raises(StartupError, match=r"allow_private_hosts.*no JSON"):
        load_settings()


def test_the_file_in_the_working_directory_is_read() -> None:
    toml('log_level = "debug"\n[search]\ndense_weight = 0.25\n[ingest]\nallow_private_hosts = ["intranet.example"]\n')
    settings = load_settings()
    assert settings.log_level == "debug"
    assert settings.search.dense_weight == 0.25
    assert settings.ingest.allow_private_hosts == ["intranet.example"]


def test_footnote_config_names_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    toml("[server]\nport = 1111\n")
    toml("[server]\nport = 2222\n", "other.toml")
    monkeypatch.setenv("FOOTNOTE_CONFIG", "other.toml")
    assert load_settings().server.port == 2222


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("FOOTNOTE_SECRETS_DIR", str(folder))
    return folder


def test_secrets_are_read_from_files_named_like_the_variables(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "FOOTNOTE_DATABASE__URL").write_text("postgresql://u:p@db/footnote\n")
    (secrets / "FOOTNOTE_LLM__API_KEY").write_text("from-file")
    (secrets / "of_another_service").write_text("nothing of ours")
    toml('[llm]\napi_key = "from-toml"\nmodel = "m"\n')
    settings = load_settings()
    assert settings.database.url.get_secret_value() == "postgresql://u:p@db/footnote"
    assert (settings.llm.api_key.get_secret_value(), settings.llm.model) == ("from-file", "m")
    monkeypatch.setenv("FOOTNOTE_LLM__API_KEY", "from-environment")
    assert load_settings().llm.api_key.get_secret_value() == "from-environment"


def test_a_secret_of_an_unknown_name_is_refused(secrets: Path) -> None:
    (secrets / "FOOTNOTE_DATABSE__URL").write_text("postgresql://u:p@db/footnote")
    with pytest.raises(StartupError, match="FOOTNOTE_DATABSE__URL"):
        load_settings()


def test_a_secret_that_is_not_valid_is_not_told(secrets: Path) -> None:
    (secrets / "FOOTNOTE_DATABASE__URL").write_text("mysql://u:hunter2@db/footnote")
    with pytest.raises(StartupError, match=r"database\.url") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_secrets_folder_must_be_there(secrets: Path) -> None:
    secrets.rmdir()
    with pytest.raises(StartupError, match="no folder"):
        load_settings()
    secrets.write_text("")
    with pytest.raises(StartupError, match="no folder"):
        load_settings()


def test_code_beats_environment_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    toml('[server]\nhost = "file"\nport = 1111\nmax_body_bytes = 5000\n')
    monkeypatch.setenv("FOOTNOTE_SERVER__PORT", "2222")
    monkeypatch.setenv("FOOTNOTE_SERVER__HOST", "environment")
    server = load_settings(server={"port": 3333}).server
    assert (server.port, server.host, server.max_body_bytes, server.shutdown_grace_s) == (3333, "environment", 5000, 10.0)


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("FOOTNOTE_SERVER__PORT", "70000", "server.port"),
        ("FOOTNOTE_SERVER__PORT", "http", "server.port"),
        ("FOOTNOTE_SERVER__PROT", "9000", "server.prot"),
        ("FOOTNOTE_SEARCH__DENSE_WEIGHT", "1.5", "search.dense_weight"),
        ("FOOTNOTE_LLM__ENGINE", "magic", "llm.engine"),
        ("FOOTNOTE_SERVRE__PORT", "9000", "FOOTNOTE_SERVRE__PORT"),
        ("FOOTNOTE_PORT", "9000", "FOOTNOTE_PORT"),
        ("FOOTNOTE_INGEST__SELECTORS", "docs.example.com", "ingest.selectors: Value error, it is no JSON"),
        ("FOOTNOTE_INGEST__SELECTORS", '{"docs.example.com": {"keep": ["main >"]}}', 'The CSS selector "main >" can\'t be read'),
        ("FOOTNOTE_INGEST__SELECTORS", '{"docs.example.com": {"kep": []}}', "ingest.selectors.docs.example.com.kep"),
        ("FOOTNOTE_INGEST__SELECTORS", '{"a/b": {"keep": ["main"]}}', "'a/b' is neither a host nor a URL"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartupError) as caught:
        load_settings()
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nport = -1\n", "server.port"),
        ("[server]\nprot = 1\n", "server.prot"),
        ("[sever]\nport = 1\n", "sever"),
        ("port = 1\n", "port"),
        ('log_level = "loud"\n', "log_level"),
        ("[server\nport = 1\n", "footnote.toml"),
    ],
)
def test_a_wrong_file_is_refused_and_the_message_names_what_is_wrong(text: str, named: str) -> None:
    toml(text)
    with pytest.raises(StartupError) as caught:
        load_settings()
    assert named in caught.value.message


def test_selectors_by_site_are_a_table_in_the_file_and_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    toml('[ingest.selectors."docs.example.com"]\nkeep = ["main"]\n')
    assert load_settings().ingest.selectors["docs.example.com"].keep == ["main"]

    monkeypatch.setenv("FOOTNOTE_INGEST__SELECTORS", '{"https://Docs.example.com/guide/": {"drop": [" .ad, .promo "]}}')
    found = load_settings().ingest.selectors
    assert {site: given.drop for site, given in found.items()} == {"https://Docs.example.com/guide/": [".ad, .promo"]}


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(StartupError) as caught:
        load_settings(server={"port": -1}, search={"candidates": 0})
    assert "server.port" in caught.value.message
    assert "search.candidates" in caught.value.message


def test_a_named_file_that_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_CONFIG", "missing.toml")
    with pytest.raises(StartupError, match=r"missing\.toml"):
        load_settings()


def test_variables_of_the_command_line_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_URL", "http://127.0.0.1:8000")
    load_settings()


def test_settings_do_not_change_once_they_are_read() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]


def test_every_setting_that_is_no_plain_bound_is_documented() -> None:
    undocumented = [
        f"{section}.{name}"
        for section, field in Settings.model_fields.items()
        for name, inner in getattr(field.annotation, "model_fields", {}).items()
        if not inner.description and not inner.metadata
    ]
    assert undocumented == []


def test_the_weight_of_a_reranker_is_the_one_that_is_set_or_that_of_its_kind() -> None:
    unset = Settings().search
    assert (unset.weight_of("maxsim"), unset.weight_of("owner/cross-encoder")) == (0.35, 0.5)
    assert Settings(search={"rerank_weight": 0.0}).search.weight_of("maxsim") == 0.0
