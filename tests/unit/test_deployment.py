"""The files that others run: the image's recipe and the stack. No container engine is asked; their own linters are, and what
docs/networked.md promises of every container is looked up in the file."""

from __future__ import annotations

import importlib.util
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from corpus.settings import Settings, load_settings
from footnote.cli import app

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
OURS = ("api", "api-gpu", "api-vllm", "worker", "keys", "models", "footnote")
INTERPOLATED = re.compile(r"\$\{\w+:-([^}]*)\}")


def services() -> dict[str, dict[str, Any]]:
    text = INTERPOLATED.sub(lambda found: found[1], COMPOSE.read_text())
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return found


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_compose_file_follows_the_specification() -> None:
    checked = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert checked.returncode == 0, checked.stdout


def test_the_dockerfile_passes_its_linter() -> None:
    checked = tool("hadolint", str(ROOT / "Dockerfile"))
    assert checked.returncode == 0, checked.stdout


def test_the_image_runs_as_nobody_special() -> None:
    users = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users[-1] == "10001:10001"


@pytest.mark.parametrize("name", list(services()))
def test_every_container_is_confined(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is (name != "milvus")
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert "privileged" not in service
    assert not [volume for volume in service.get("volumes", []) if volume.startswith(("/", "."))], "a folder of the host"


@pytest.mark.parametrize("name", list(services()))
def test_every_image_is_one_exact_version(name: str) -> None:
    _, _, tag = services()[name]["image"].rpartition(":")
    assert re.search(r"\d+\.\d+|RELEASE\.\d{4}-", tag), tag


def test_only_the_service_is_published_and_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in services().items() if service.get("ports")}
    assert published == {name: ["127.0.0.1:8000:8000"] for name in ("api", "api-gpu", "api-vllm")}


def test_servers_have_no_way_out() -> None:
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert networks["inside"] == {"internal": True}
    for name in ("postgres", "milvus", "etcd", "minio", "vllm"):
        assert services()[name]["networks"] == ["inside"], name


def test_every_server_tells_whether_it_is_well() -> None:
    for name, service in services().items():
        if "tools" not in service.get("profiles", []) and name not in ("api", "api-gpu", "api-vllm"):  # theirs is the image's
            assert service["healthcheck"]["test"][0] == "CMD", name


def test_every_setting_is_one_and_has_a_value_that_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in OURS:
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            for variable, value in services()[name]["environment"].items():
                if variable.startswith("FOOTNOTE_") and variable != "FOOTNOTE_SECRETS_DIR":
                    patched.setenv(variable, str(value))
            for secret in services()[name].get("secrets", []):
                assert secret["target"].split("__")[0].removeprefix("FOOTNOTE_").lower() in Settings.model_fields
            assert isinstance(load_settings(), Settings), name


def documented() -> list[list[str]]:
    """The commands of docs/networked.md that begin with ``docker compose``, in words."""
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "docs" / "networked.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ docker compose ")]
    return [shlex.split(line)[2:] for line in lines]


def check_command(service: dict[str, Any], arguments: list[str]) -> None:
    """That the service's container would find a command of ours with these options."""
    command = [*service.get("entrypoint", ["footnote"])[1:], *arguments]
    options = [word for word in command if word.startswith("--")]
    group: Any = get_command(app)
    for word in command:
        if not hasattr(group, "commands") or word.startswith("-"):
            break
        assert word in group.commands, f"{word} in {command}"
        group = group.commands[word]
    known = {"--help"} | {spelling for parameter in group.params for spelling in (*parameter.opts, *parameter.secondary_opts)}
    assert set(options) <= known, command


def test_every_command_is_one_of_ours() -> None:
    for name in OURS:
        check_command(services()[name], services()[name]["command"])


def test_the_documented_commands_fit_the_file() -> None:
    profiles = {profile for service in services().values() for profile in service.get("profiles", [])}
    assert len(documented()) > 8
    for words in documented():
        if words[0] == "--profile":
            assert words[1] in profiles
            words = words[2:]
        if words[0] == "run":
            after = words[words.index("--rm") + 1 :]
            after = after[2:] if after[0] == "--volume" else after
            check_command(services()[after[0]], after[1:])
        else:
            assert words[0] in ("build", "up", "logs", "stop", "exec")


def test_secrets_stand_in_no_file_that_is_kept() -> None:
    for name, service in services().items():
        for variable, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|TOKEN$|_KEY$", variable) or value.startswith("/run/secrets"), (name, variable)
    assert "secrets/" in (ROOT / ".gitignore").read_text().split()
    assert (ROOT / ".dockerignore").read_text().split("\n")[1] == "*"


def test_secrets_are_made_once_at_random_and_are_those_that_the_file_names(tmp_path: Path) -> None:
    def make(folder: str) -> dict[str, str]:
        subprocess.run([ROOT / "deploy" / "make-secrets.sh", tmp_path / folder], check=True, capture_output=True, timeout=60)
        return {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}

    made = make("one")
    assert make("one") == made
    named = yaml.safe_load(COMPOSE.read_text())["secrets"]
    assert {Path(secret["file"]).name for secret in named.values()} == set(made)
    assert not set(made.values()) & set(make("other").values())
    assert len(made["postgres_password"]) == 64
    assert f":{made['postgres_password']}@postgres:" in made["database_url"]
    assert made["milvus_token"] == f"root:{made['milvus_password']}"
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o700


@pytest.fixture
def requirements() -> Callable[[Path, list[str]], list[str]]:
    spec = importlib.util.spec_from_file_location("requirements", ROOT / "deploy" / "requirements.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[Path, list[str]], list[str]] = module.requirements
    return found


def test_the_image_gets_what_the_project_pins(requirements: Callable[[Path, list[str]], list[str]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = requirements(ROOT / "pyproject.toml", ["multilingual"])
    assert pinned == [*project["dependencies"], *project["optional-dependencies"]["multilingual"]]
    with pytest.raises(SystemExit, match="no extra nonsense"):
        requirements(ROOT / "pyproject.toml", ["nonsense"])
    assert all("==" in line for line in requirements(ROOT / "pyproject.toml", ["multilingual", "gpu", "langchain"]))


def test_each_image_asks_for_extras_that_there_are(requirements: Callable[[Path, list[str]], list[str]]) -> None:
    asked = [service["build"]["args"]["EXTRAS"] for service in services().values() if service.get("build", {}).get("args")]
    asked += re.findall(r"^ARG EXTRAS=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(asked) == 2
    for extras in asked:
        requirements(ROOT / "pyproject.toml", extras.split(","))
