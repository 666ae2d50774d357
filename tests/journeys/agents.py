"""The coding agents of three vendors as child processes: unmodified, without a terminal, in a home of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.journeys.processes import ROOT

#: Where `make journeys` installs them.
FOLDER = Path(os.environ.get("ROUTEX_AGENTS_DIR", ROOT / ".cache" / "agents"))
#: How long one run may take on a busy machine before it is killed.
RUN_S = 100.0


@dataclass(frozen=True)
class Ran:
    """How a run ended."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Agent:
    """One of them: its own format, the model that it asks for, and how it is told about a gateway."""

    name: str
    binary: str
    format: str
    model: str
    #: Prompt, model and the gateway's address → arguments; the key goes into the environment only.
    arguments: Callable[[str, str, str], list[str]]
    environ: Callable[[str, str], dict[str, str]]
    #: Its tool that reads a file, and the arguments for a path.
    reads: Callable[[Path], tuple[str, dict[str, object]]]
    #: Files that it wants in its home.
    files: dict[str, str] = field(default_factory=dict)

    def run(self, prompt: str, folder: Path, url: str, key: str) -> Ran:
        """Run it in a folder until it ends by itself; raises AssertionError when it does not."""
        home = folder / "home"
        work = folder / "work"
        home.mkdir()
        for name, text in self.files.items():
            (home / name).parent.mkdir()
            (home / name).write_text(text)
        environ = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb", "NO_COLOR": "1", "CI": "1"}
        with (folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
            process = subprocess.Popen(
                [str(FOLDER / "node_modules" / ".bin" / self.binary), *self.arguments(prompt, self.model, url)],
                cwd=work,
                env=environ | self.environ(url, key),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
            try:
                code = process.wait(RUN_S)
            except subprocess.TimeoutExpired:
                code = -1
            finally:
                _end(process)
        ran = Ran(
            code, (folder / "output").read_text(errors="replace"), (folder / "errors").read_text(errors="replace")
        )
        assert code != -1, f"{self.name} did not end within {RUN_S:g} s: {ran}"
        return ran


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started, which are one process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _claude(prompt: str, model: str, url: str) -> list[str]:
    tools = "Read,Task,Agent,WebSearch"
    return ["-p", prompt, "--model", model, "--allowedTools", tools, "--output-format", "text"]


def _claude_environ(url: str, key: str) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def _codex(prompt: str, model: str, url: str) -> list[str]:
    provider = {"name": "routex", "base_url": f"{url}/v1", "env_key": "ROUTEX_KEY", "wire_api": "responses"}
    settings = {"model_provider": "routex"} | {f"model_providers.routex.{name}": v for name, v in provider.items()}
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={json.dumps(value)}")]
    limits = ["-c", "model_providers.routex.stream_max_retries=2", "-c", "model_providers.routex.request_max_retries=3"]
    bare = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return ["exec", *bare, "-m", model, *given, *limits, prompt]


def _gemini(prompt: str, model: str, url: str) -> list[str]:
    return ["-p", prompt, "-m", model, "--yolo"]


def _gemini_environ(url: str, key: str) -> dict[str, str]:
    return {
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": key,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_TELEMETRY_ENABLED": "false",
    }


CLAUDE = Agent(
    name="Claude Code",
    binary="claude",
    format="anthropic",
    model="claude-sonnet-4-5",
    arguments=_claude,
    environ=_claude_environ,
    reads=lambda path: ("Read", {"file_path": str(path)}),
)
CODEX = Agent(
    name="Codex",
    binary="codex",
    format="openai-responses",
    model="gpt-5.2",
    arguments=_codex,
    environ=lambda url, key: {"ROUTEX_KEY": key},
    reads=lambda path: ("exec_command", {"cmd": f"cat {path}"}),
)
GEMINI = Agent(
    name="Gemini CLI",
    binary="gemini",
    format="gemini",
    model="gemini-2.5-pro",
    arguments=_gemini,
    environ=_gemini_environ,
    reads=lambda path: ("read_file", {"file_path": str(path)}),
    files={".gemini/settings.json": json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}})},
)
AGENTS = {"claude": CLAUDE, "codex": CODEX, "gemini": GEMINI}
