"""Every setting, documented where it is declared.

Settings come from, strongest first: arguments given in code, environment variables (``FOOTNOTE_`` and ``__`` between
the section and the name: ``FOOTNOTE_SERVER__PORT=9000``), files named like these variables in the folder that
``FOOTNOTE_SECRETS_DIR`` names (as Docker and Kubernetes hand over secrets), the TOML file named by ``FOOTNOTE_CONFIG`` or else
``footnote.toml`` in the working directory, then the defaults below. Unknown keys are refused.

Settings are read only by :func:`load_settings`; everything else is handed the section it needs.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from corpus.errors import InvalidInput, StartupError
from corpus.selectors import check_selectors, site_key
from corpus.weights import GEMMA

T = TypeVar("T")
R = TypeVar("R")


_JSON_LIST = re.compile(r'\s*\[\s*["\]]')  # not [::1], which is an address


def _listed(value: object) -> object:
    """The items of a list from the environment: with commas between them, or as JSON."""
    if not isinstance(value, str):
        return value
    if _JSON_LIST.match(value):
        return _from_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _from_json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as exc:
        raise ValueError(f"it is no JSON ({exc})") from exc


def _said(check: Callable[[T], R], value: T) -> R:
    """What ``check`` makes of a value; its InvalidInput as pydantic takes it."""
    try:
        return check(value)
    except InvalidInput as exc:
        raise ValueError(exc.message) from exc


StringList = Annotated[list[str], BeforeValidator(_listed)]


SECRETS_DIR = "FOOTNOTE_SECRETS_DIR"
NOT_SETTINGS = {"FOOTNOTE_CONFIG", SECRETS_DIR, "FOOTNOTE_URL", "FOOTNOTE_API_KEY"}  # read by the loader and by the command line


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    host: str = Field("127.0.0.1", description="Address the service listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the service listens on; 0 picks a free one.")
    allowed_hosts: StringList = Field(
        default_factory=list,
        description="Host names that requests may be addressed to (*.example.com for all below). Default: loopback's own names, "
        "or any where server.host is no loopback address.",
    )
    allowed_origins: StringList = Field(
        default_factory=list,
        description="Web pages of other origins that may use the service from their visitors' browsers, such as "
        "https://wiki.example.com. Its own page always may.",
    )
    api_keys: Literal["auto", "required", "off"] = Field(
        "auto",
        description="Who needs an API key. auto: everybody, unless server.host is a loopback address and no proxy forwarded the "
        "request. required: everybody. off: nobody, because something in front of the service asks who is there.",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="What Prometheus sends as Authorization: Bearer … to read /metrics where keys are needed, and nothing else. "
        "Empty: only API keys with the scope admin may.",
    )
    trusted_proxies: StringList = Field(
        default_factory=list,
        description="Addresses and networks of the proxies whose X-Forwarded-For is believed, for limits by address.",
    )
    requests_per_minute_per_key: int = Field(
        600, ge=0, description="Requests that one API key may make a minute; 0 sets no limit."
    )
    requests_per_minute_per_address: int = Field(
        1200, ge=0, description="Requests that one address may make a minute where keys are needed; 0 sets no limit."
    )
    receive_timeout_s: float = Field(60.0, gt=0, le=3600, description="Longest time a request may take to arrive whole.")
    send_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Longest time a client may stop reading an answer before its connection is ended."
    )
    max_requests: int = Field(256, ge=1, description="Requests served at once; more are refused with 503.")
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Largest request body accepted.")
    slow_query_ms: int = Field(
        10_000, ge=0, description="Answers and searches that took longer are logged, with the time of each stage; 0 logs none."
    )
    log_questions: bool = Field(False, description="Whether that line also holds the question. People ask private things.")
    shutdown_grace_s: float = Field(
        10.0, ge=0, le=600, description="How long open requests may finish after SIGTERM; answers then end with their quotes."
    )


class DatabaseSettings(Section):
    url: SecretStr = Field(
        SecretStr(""),
        description="A PostgreSQL server's database, postgresql://user:password@host:port/database, for metadata and jobs. "
        "Empty: SQLite files in the data directory.",
    )
    process_timeout_s: float = Field(
        25.0,
        ge=2,
        le=3600,
        description="Where several processes share one PostgreSQL: how long one may be silent before the others take it for dead "
        "and go on with its work. Each is heard of five times as often.",
    )
    startup_wait_s: float = Field(
        60.0, ge=0, le=3600, description="How long a start waits for the server, so that containers may start in any order."
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("database.url must begin with postgresql:// (or be empty, for SQLite in the data directory)")
        return value


class MilvusSettings(Section):
    """The index server of the networked profile. Without one, the indexes are files in the data directory."""

    uri: str = Field(
        "",
        description="A Milvus server for vectors and BM25 (2.6.10 or newer), http://host:19530 or https://…. Empty: Milvus Lite "
        "and tantivy in the data directory.",
    )
    token: SecretStr = Field(SecretStr(""), description="The server's API key, or user:password.")
    user: str = Field("", description="The user's name, where no milvus.token is given.")
    password: SecretStr = Field(SecretStr(""), description="The user's password, where no milvus.token is given.")
    database: str = Field("", description="The database on that server; empty: its default.")
    collection_prefix: str = Field(
        "footnote",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$",
        description="What the names of Footnote's collections begin with; the metadata database's own name and the number of the "
        "index follow.",
    )
    ca_file: str = Field(
        "", description="For https: a PEM file with the certificates to trust. Empty: those that gRPC brings along."
    )
    server_name: str = Field("", description="For https: the name that the server's certificate is for, if it isn't its host.")
    timeout_s: float = Field(10.0, gt=0, le=600, description="Longest time one call may take.")
    startup_wait_s: float = Field(
        60.0, ge=0, le=3600, description="How long a start waits for the server, so that containers may start in any order."
    )
    index_type: Literal["AUTOINDEX", "FLAT", "HNSW", "IVF_SQ8", "DISKANN"] = Field(
        "AUTOINDEX",
        description="How a new collection's vectors are indexed. AUTOINDEX: as the server was set up (HNSW, as it comes). FLAT: "
        "exact. IVF_SQ8: a quarter of the memory. DISKANN: on the query nodes' disks.",
    )
    search_consistency: Literal["strong", "bounded"] = Field(
        "strong",
        description="What a search waits for. strong: everything written before it. bounded: it may miss what another replica of "
        "the collection hasn't taken in yet; safe and faster where the collection has one replica.",
    )

    @model_validator(mode="after")
    def _is_a_server(self) -> Self:
        if self.uri and not re.match(r"https?://[^/@\s]+/?$", self.uri):
            raise ValueError("milvus.uri must look like http://host:19530 or https://host (user and password are settings)")
        if (self.ca_file or self.server_name) and self.uri.startswith("http://"):
            raise ValueError("milvus.ca_file and milvus.server_name are for https; milvus.uri says http")
        return self


class IndexSettings(Section):
    embedder: str = Field(
        "all-MiniLM-L6-v2",
        description="The built-in all-MiniLM-L6-v2 (English); multilingual-e5-small (the extra `multilingual`); a folder that "
        "holds a sentence-transformers model (safetensors); or owner/model, as fetched by `footnote models pull`.",
    )
    query_prompt: str | None = Field(
        None, description="What questions are led in with for the embedder; unset: as the model's own configuration says."
    )
    passage_prompt: str | None = Field(None, description="The same for passages.")
    device: str = Field(
        "auto", description="Where embedder and reranker run: auto (a GPU if there is one), cpu, cuda, cuda:1, mps."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="What they compute in. auto: float32 on a CPU; on a GPU as the weights were saved."
    )
    embed_batch_size: int = Field(16, ge=1, le=1024, description="Chunks embedded at once.")
    chunk_max_tokens: int = Field(
        200, ge=32, le=8192, description="Longest chunk, in the embedder's own tokens, heading context included."
    )
    chunk_min_tokens: int = Field(60, ge=0, description="Smaller neighbours under one heading are merged up to this.")
    chunk_overlap_tokens: int = Field(0, ge=0, description="Tokens shared by the parts of a block that had to be split.")


class SearchSettings(Section):
    candidates: int = Field(100, ge=1, le=1000, description="Candidates taken from each of dense and lexical search.")
    dense_weight: float = Field(0.6, ge=0, le=1, description="Weight of dense against lexical scores in the fusion.")
    reranker: str = Field(
        "maxsim",
        description="What reranks the fused candidates: maxsim (late interaction, needs no further weights); none; or a "
        "cross-encoder: a folder (safetensors), or owner/model, as fetched by `footnote models pull`.",
    )
    rerank_batch_size: int = Field(32, ge=1, le=1024, description="Pairs that a cross-encoder scores at once.")
    rerank_candidates: int = Field(50, ge=1, le=200, description="Fused candidates that the reranker sees.")
    rerank_weight: float | None = Field(
        None, ge=0, le=1, description="Weight of the reranker against the first stage; unset: 0.35 for maxsim, 0.5 for others."
    )
    max_limit: int = Field(100, ge=1, le=1000, description="Most hits one search may ask for.")

    def weight_of(self, reranker: str) -> float:
        """``rerank_weight``, or what was measured to be best for this kind (docs/retrieval.md)."""
        if self.rerank_weight is not None:
            return self.rerank_weight
        return 0.35 if reranker == "maxsim" else 0.5


class SelectorSettings(Section):
    """CSS selectors of what is content on a site's pages, and of what is not."""

    keep: list[str] = Field(default_factory=list)
    drop: list[str] = Field(default_factory=list)

    @field_validator("keep", "drop")
    @classmethod
    def _can_be_read(cls, value: list[str]) -> list[str]:
        return list(_said(check_selectors, value))


class IngestSettings(Section):
    user_agent: str = Field(
        "FootnoteBot/0.1 (self-hosted)",
        description="Sent with every fetch; robots.txt is matched against its product name. Add how to reach you.",
    )
    allow_private_hosts: StringList = Field(
        default_factory=list,
        description="Hosts (name or IP literal, optionally :port) that may resolve to private or loopback addresses, "
        "for intranets and tests. Everything else must be public.",
    )
    respect_robots: bool = Field(True, description="Obey robots.txt (RFC 9309). Turn off only for sites you own.")
    delay_s: float = Field(
        0.5,
        ge=0,
        le=60,
        description="Least pause between two requests to one host. It grows with the time that the host takes to answer, and "
        "robots.txt may ask for more. 0, for hosts of your own, pauses only where robots.txt or Retry-After ask for it.",
    )
    max_crawl_delay_s: float = Field(
        30.0, ge=0, description="Longest pause between two requests, whatever Crawl-delay or a slow host ask for."
    )
    concurrency: int = Field(4, ge=1, le=64, description="Pages of one job worked on at once (one request per host at a time).")
    connect_timeout_s: float = Field(10.0, gt=0, le=120, description="Longest wait for a connection.")
    fetch_deadline_s: float = Field(60.0, gt=0, le=600, description="One fetch in all, redirects included.")
    max_body_bytes: int = Field(10_000_000, ge=1_000, description="Largest response body, decoded.")
    max_header_bytes: int = Field(
        65_536, ge=1_000, le=100_000, description="Largest header block of an answer, informational answers before it included."
    )
    min_rate_bytes_s: int = Field(
        100, ge=0, le=1_000_000, description="Answers that come slower than this once they began are given up; 0 waits."
    )
    min_rate_window_s: float = Field(15.0, gt=0, le=600, description="Time over which ingest.min_rate_bytes_s is an average.")
    max_redirects: int = Field(5, ge=0, le=20, description="Redirects followed from one URL.")
    max_pages: int = Field(1_000, ge=1, le=1_000_000, description="Page budget of a crawl that names none.")
    max_depth: int = Field(20, ge=0, le=1_000, description="Links followed from a start URL at most.")
    max_pages_per_host: int = Field(
        1_000_000, ge=1, le=1_000_000, description="Links of one host that one job follows, for jobs over several hosts."
    )
    max_path_segments: int = Field(32, ge=1, le=1_000, description="Links whose path has more parts are not followed.")
    max_repeated_segments: int = Field(
        2, ge=1, le=1_000, description="Links whose path has a run of parts more often than this in succession are not followed."
    )
    max_query_variants: int = Field(
        200, ge=1, le=1_000_000, description="Links that differ only in their query that one job follows."
    )
    max_date_variants: int = Field(
        400, ge=1, le=1_000_000, description="Links that differ only in a date in their path that one job follows."
    )
    keep_jobs_days: int = Field(
        90,
        ge=1,
        le=36_500,
        description="How long the log of a finished job is kept. The newest job of each source stays, however old.",
    )
    max_attempts: int = Field(3, ge=1, le=20, description="Tries of one URL when the failure is transient.")
    selectors: Annotated[dict[str, SelectorSettings], BeforeValidator(_from_json)] = Field(
        default_factory=dict,
        description="What of a site's pages is content, where the rules don't see it: CSS selectors to keep and to drop, by host "
        'or by URL prefix. In an environment variable as JSON: {"docs.example.com": {"keep": ["main"], "drop": [".ad"]}}.',
    )
    parse_timeout_s: float = Field(20.0, gt=0, le=600, description="Longest time one page may take to parse.")
    render: Literal["never", "when_empty", "always"] = Field(
        "never",
        description="Which HTML pages are rendered by Chromium (the extra `browser`): never, when_empty (those without text of "
        "their own) or always. Each request it makes goes through the guarded fetcher.",
    )
    render_deadline_s: float = Field(30.0, gt=0, le=600, description="Longest time one page may take to render.")
    render_max_requests: int = Field(60, ge=0, le=1_000, description="Scripts, styles and data that one rendered page may fetch.")
    browser_path: str = Field("", description="Chromium's name or path; empty: the one found on PATH.")
    browser_sandbox: bool = Field(
        True, description="Chromium's own sandbox. It can't be had as root, nor in most containers: turn it off there."
    )
    parse_memory_bytes: int = Field(1_500_000_000, ge=100_000_000, description="Memory limit of the parsing process.")

    @field_validator("selectors")
    @classmethod
    def _are_of_sites(cls, value: dict[str, SelectorSettings]) -> dict[str, SelectorSettings]:
        for site in value:
            _said(site_key, site)
        return value


_MODEL_OF = {"transformers": "a folder of safetensors weights, or a fetched hub name", "langchain": "provider:name"}


class LlmSettings(Section):
    engine: Literal["llamacpp", "transformers", "openai", "langchain", "none"] = Field(
        "llamacpp",
        description="llamacpp: a GGUF model in process. transformers: safetensors weights on a GPU in process (the extra `gpu`). "
        "openai: a server of the OpenAI API (vLLM, llama-server, Ollama, TGI). langchain: any provider that LangChain knows (the "
        "extra `langchain`). none: answers are quotes, never phrased by a model.",
    )
    model: str = Field(
        GEMMA,
        description="llamacpp: the built-in Gemma 3 270M (4-bit), or the path of a GGUF file. transformers: a folder, or a model "
        "that `footnote models pull` has fetched. openai: its name at the server. langchain: provider:name.",
    )
    base_url: str = Field(
        "",
        description="For openai, and for langchain where the provider takes one: where the API begins, such as "
        "http://127.0.0.1:8080/v1. Questions and passages go there.",
    )
    api_key: SecretStr = Field(
        SecretStr(""),
        description="For openai and langchain: the server's key, if it wants one (langchain: or the provider's own variable).",
    )
    quantisation: Literal["nf4", "int8", "bf16"] = Field(
        "nf4",
        description="For transformers: how the weights are held. nf4: 4 bits; int8; bf16: as they are. All compute in bf16.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="For transformers: auto (the GPU, or an error), cuda, cuda:1, cpu.",
    )
    style: Literal["auto", "chat", "completion"] = Field(
        "auto",
        description="chat for instruct models, completion for base models. auto: what the model's files say, where they do; "
        "else only the built-in model is a base model.",
    )
    context_tokens: int = Field(2048, ge=512, description="Context window of each slot, in tokens.")
    slots: int = Field(2, ge=1, le=64, description="Answers generated at once; more wait in a queue.")
    queue_limit: int = Field(16, ge=0, description="Answers that may wait for a slot before requests are refused with 503.")
    threads: int = Field(0, ge=0, le=256, description="Inference threads; 0 takes one per physical core.")
    gpu_layers: int = Field(-1, ge=-1, description="Layers offloaded to a GPU where llama.cpp was built with one; -1 = all.")
    max_answer_tokens: int = Field(96, ge=8, le=4096, description="Longest text the model may write.")
    warm_up: bool = Field(
        True,
        description="After the start, compute in the background what all prompts begin with: first answers come sooner.",
    )
    request_deadline_s: float = Field(60.0, gt=0, le=3600, description="Longest time one answer may take in all.")

    @model_validator(mode="after")
    def _names_its_server(self) -> Self:
        if self.engine == "openai" and not (self.base_url.startswith(("http://", "https://")) and self.model != GEMMA):
            raise ValueError("llm.engine openai needs llm.base_url (http://… or https://…) and llm.model, its name there")
        if self.engine in ("transformers", "langchain") and self.model == GEMMA:
            raise ValueError(f"llm.engine {self.engine} needs llm.model: {_MODEL_OF[self.engine]}")
        return self


class AnswerSettings(Section):
    max_question_chars: int = Field(4_000, ge=10, le=100_000, description="Longest question or query accepted.")
    context_chunks: int = Field(5, ge=1, le=50, description="Chunks whose sentences may serve as evidence.")
    context_budget_tokens: int = Field(600, ge=64, description="Most prompt tokens spent on passages.")
    abstain_below: float = Field(
        0.7, ge=0, le=1, description="Confidence under which the pages are taken not to answer: higher abstains more often."
    )
    support_at_least: float = Field(0.9, ge=0, le=1, description="Support under which a generated sentence is removed.")
    max_quotes: int = Field(2, ge=1, le=10, description="Most quotes in a `quoted` answer.")
    keep_feedback_days: int = Field(
        365, ge=1, le=36_500, description="How long is kept what people thought of answers, with their questions."
    )


class Settings(BaseSettings):
    """All of Footnote's settings."""

    model_config = SettingsConfigDict(
        env_prefix="FOOTNOTE_", env_nested_delimiter="__", extra="forbid", frozen=True, enable_decoding=False
    )

    data_dir: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "share" / "footnote",
        description="Where everything is kept: database, indexes, unpacked model weights.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least severe log lines shown.")
    log_format: Literal["text", "json"] = Field(
        "text", description="text: lines for people. json: one object a line, for what collects logs."
    )
    tracing: bool = Field(
        False,
        description="Send traces of answers and ingest to an OpenTelemetry collector (the extra `otel`). Where to, how many and "
        "under which name: OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.",
    )
    server: ServerSettings = Field(default_factory=ServerSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    milvus: MilvusSettings = Field(default_factory=MilvusSettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    llm: LlmSettings = Field(default_factory=LlmSettings)
    answer: AnswerSettings = Field(default_factory=AnswerSettings)

    @property
    def is_shared(self) -> bool:
        """Whether several processes may share the corpus: servers hold all of it."""
        return bool(self.database.url.get_secret_value() and self.milvus.uri)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = Path(os.environ.get("FOOTNOTE_CONFIG", "footnote.toml"))
        secrets = NestedSecretsSettingsSource(file_secret_settings, secrets_dir=os.environ.get(SECRETS_DIR) or None)
        return init_settings, env_settings, secrets, TomlConfigSettingsSource(settings_cls, toml_file=path)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from environment and file.

    Raises:
        StartupError: a key is unknown or a value out of bounds; the message names each and where it came from.
    """
    _check_names(os.environ, where="in the environment")
    if secrets := os.environ.get(SECRETS_DIR):
        if not Path(secrets).is_dir():
            raise StartupError(f"{SECRETS_DIR} names {secrets}, which is no folder. Create it or unset the variable.")
        _check_names([file.name for file in Path(secrets).iterdir()], where=f"in {secrets}")
    config = os.environ.get("FOOTNOTE_CONFIG")
    if config and not Path(config).is_file():
        raise StartupError(f"FOOTNOTE_CONFIG names {config}, which is no file. Create it or unset the variable.")
    try:
        return Settings(**overrides)
    except SettingsError as exc:
        raise StartupError(f"The settings can't be read: {exc}.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as exc:
        raise StartupError(
            f"The settings file {config or 'footnote.toml'} can't be read: {exc}. Correct it or remove it."
        ) from exc
    except ValidationError as exc:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in exc.errors()]
        raise StartupError(
            "The settings are not valid. Correct these in the environment (FOOTNOTE_…) or in footnote.toml:\n" + "\n".join(lines)
        ) from exc


def _check_names(names: Iterable[str], *, where: str) -> None:
    """pydantic-settings refuses unknown names inside a section, but passes over unknown sections. Raises: StartupError."""
    sections = {f"FOOTNOTE_{name}".upper() for name in Settings.model_fields} | NOT_SETTINGS
    unknown = sorted(k for k in names if k.startswith("FOOTNOTE_") and k.split("__")[0].upper() not in sections)
    if unknown:
        raise StartupError(f"Unknown settings {where}: {', '.join(unknown)}. See docs/configuration.md for the names.")
