"""What calls of the benchmark are made of: vendors, or components that take no time; and which build takes them."""

from __future__ import annotations

import os
import subprocess
import tomllib
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen
from bench import OUT, ROOT, cores, serving, write_files

END_OF_TURN_MS = 600
"""Silence that ends the caller's turn."""
LISTENING = OUT / f"chain-listening-{os.getpid()}"
"""Where vendors count the connections of recognisers."""

TURNS = f"""\
    greeting: Hello.
    prompt: You are the agent of a shop, and you answer in a few sentences.
    turns:
      dtmf: {{gap_ms: 0}}
      end_of_turn_ms: {END_OF_TURN_MS}
      endpointing: {{complete_ms: {END_OF_TURN_MS}}}  # whatever was said, as the peers have it
"""
CHAIN = """\
pipelines:
  default:
    stt: {{type: deepgram, api_key: "${{BENCH_KEY}}", base_url: "{base}"{more}}}
    llm: {{type: openai, model: gpt-4.1-mini, api_key: "${{BENCH_KEY}}", base_url: "{base}/v1"{more}}}
    tts: {{type: deepgram, api_key: "${{BENCH_KEY}}", base_url: "{base}"{more}}}
"""
SCRIPTED = """\
pipelines:
  default:
    stt: {{type: bench, looks: true, chunk_ms: {chunk_ms}}}
    llm: bench
    tts: bench
"""


def write_chain(base, ca_file=None):
    """The file to serve, with vendors at an address."""
    os.environ["BENCH_KEY"] = "bench-key"
    file = OUT / "chain.yaml"
    file.write_text(CHAIN.format(base=base, more=f', ca_file: "{ca_file}"' if ca_file else "") + TURNS)
    return file


@frozen
class Vendors:
    """Vendors, and how they are reached."""

    tls: bool = False
    live: bool = False
    """Whether speech and tokens come at the pace of real vendors."""
    piece_ms: int = 200
    """Of speech in a message."""
    mulaw: bool = False
    """Whether calls are in mu-law, which both of Deepgram's services take."""

    @property
    def server_options(self):
        """Of `server.py`."""
        return ["--mulaw"] if self.mulaw else []

    set_up_options = "--listening", LISTENING
    """Of callers that only set up calls: a call is up when it listens, too."""

    @contextmanager
    def serving(self):
        """Their address, the file of the CA to trust or None, and once they have ended what they say, in a list."""
        OUT.mkdir(parents=True, exist_ok=True)
        ca_file = OUT / "chain-ca.pem" if self.tls else None
        options = ["--listening", LISTENING, "--piece-ms", self.piece_ms, *(["--tls", ca_file] if self.tls else [])]
        options += ["--live"] if self.live else []
        try:
            with serving("vendor_servers.py", *options, core=cores()[1]) as (_, port, out):
                yield f"{'https' if self.tls else 'http'}://127.0.0.1:{port}", ca_file, out
        finally:
            LISTENING.unlink(missing_ok=True)

    @contextmanager
    def pipelines(self):
        """The file to serve, and what the vendors say, as above."""
        with self.serving() as (base, ca_file, out):
            yield write_chain(base, ca_file), out


@frozen
class Scripted:
    """Components that take no time, and a recogniser that looks at every 20 ms."""

    chunk_ms: int = 20
    """Of audio that the recogniser gets at once."""
    server_options = set_up_options = ()

    @contextmanager
    def pipelines(self):
        """The file to serve; nobody else says anything."""
        file = write_files()
        file.write_text(SCRIPTED.format(chunk_ms=self.chunk_ms) + TURNS)
        yield file, ['{"load": null, "asked": {}}']


@contextmanager
def checked_out(revision):
    """A folder with voicepipe as it was in a revision, and what its adapters are called."""
    with TemporaryDirectory(prefix="voicepipe-") as name:
        folder = Path(name)
        archive = subprocess.run(
            ["git", "-C", ROOT, "archive", revision, "voicepipe", "pyproject.toml"], stdout=subprocess.PIPE, check=False
        )
        if archive.returncode:
            raise SystemExit(f"no revision is called {revision!r}, or this is no git repository")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        lines = [f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"]
        info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("".join(lines))
        lines = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
            for group, points in project["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        yield folder
