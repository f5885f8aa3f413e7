"""The command ``migrollback lab``: JupyterLab on a copy of the notebooks, with the embedded server and the demo.

Nothing leaves the machine: Jupyter listens on 127.0.0.1 behind its token, and asks no one for news, updates or
extensions.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from migrollback_nb.cli import demo
from migrollback_nb.cli.demo import history
from migrollback_nb.core.errors import UsageError
from migrollback_nb.runbook.notebooks import fill_in, shipped_notebooks
from migrollback_nb.servers import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The working folder, below the current one.
WORKING_FOLDER = "migrollback-lab"

#: Name of the variable with the DSN of the small history, and the notebooks that are opened on it.
HISTORY_VARIABLE = "MIGROLLBACK_HISTORY_DSN"
ON_HISTORY = ("02_history_questions.ipynb", "03_dependency_graph.ipynb")

#: Remembers in the working folder what was copied, so that a user's changes are not taken for an older version of ours.
_MANIFEST = ".migrollback-lab.json"
_TOKEN_OPTION = re.compile(r"--(\w+\.)?token")


def run(arguments: Sequence[str], out: TextIO) -> int:
    """Run the command ``migrollback lab`` until Jupyter ends. Writes the working folder, and the demo where it lacks.

    Parameters
    ----------
    arguments : sequence of str
        Passed on to ``jupyter lab``, whose settings they override.
    out : TextIO
        Where remarks go. Jupyter itself writes to the process's own streams.

    Returns
    -------
    int
        Jupyter's exit status.

    Raises
    ------
    UsageError
        When JupyterLab or the embedded server is not installed, or the token is to be empty.
    """
    from importlib.util import find_spec

    if find_spec("jupyterlab") is None:
        raise UsageError("JupyterLab is not installed", hint='Run pip install "migrollback-nb[lab]".')
    if _empties_token(arguments):
        raise UsageError(
            "The lab does not run without a token", hint="Leave the token out: Jupyter makes one and prints it."
        )
    folder = Path(WORKING_FOLDER).resolve()
    migrations = folder / "migrations"
    try:
        kept = copy_notebooks(folder)
        out.write("Starting the embedded server ...\n")
        out.flush()
        dsn = embedded.start(demo.DATABASE)
        if demo.is_loaded(dsn):
            demo.copy_migrations(migrations, edited=True, replace=False)
        else:
            demo.load("embedded", migrations).close()
        of_history = history.load(folder / "history")
        out.writelines(f"Kept as you changed it: {name}\n" for name in kept)
        out.write(f"Notebooks: {folder}\nFor another terminal, while this runs:\n")
        out.write(
            f"  export MIGROLLBACK_DSN={shlex.quote(dsn)}\n  export"
            f" MIGROLLBACK_DIR={shlex.quote(str(migrations))}\nCtrl-C twice ends it.\n\n"
        )
        out.flush()
        with tempfile.TemporaryDirectory(prefix="migrollback-lab-") as settings:
            _write_settings(Path(settings), folder)
            environment = {
                **os.environ,
                **_jupyter_environment(settings),
                "MIGROLLBACK_DSN": dsn,
                "MIGROLLBACK_DIR": str(migrations),
                HISTORY_VARIABLE: of_history,
            }
            command = [sys.executable, "-m", "jupyterlab", *arguments]
            return _run_until_it_ends(command, folder, environment)
    finally:
        embedded.stop()


def copy_notebooks(folder: Path) -> tuple[str, ...]:
    """Copy the notebooks that ship into a folder. Writes files, over no file that a user has changed.

    Parameters
    ----------
    folder : Path
        Made when it is not there.

    Returns
    -------
    tuple of str
        Names of the files that were left alone because a user has changed them.
    """
    source = shipped_notebooks()
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / _MANIFEST
    copied: dict[str, str] = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    kept = []
    for notebook in sorted(source.glob("*.ipynb")):
        content = _for_the_lab(notebook.name, json.loads(notebook.read_text(encoding="utf-8")))
        target = folder / notebook.name
        digest = hashlib.sha256(content).hexdigest()
        if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() not in (
            copied.get(notebook.name),
            digest,
        ):
            kept.append(notebook.name)
            continue
        target.write_bytes(content)
        copied[notebook.name] = digest
    manifest.write_text(json.dumps(copied, indent=1), encoding="utf-8")
    return tuple(kept)


def _for_the_lab(name: str, notebook: dict[str, Any]) -> bytes:
    """A notebook as Jupyter itself would save it, so that to open it changes nothing; 02 and 03 ask the history."""
    from ipykernel.ipkernel import IPythonKernel

    if name in ON_HISTORY:
        notebook = fill_in(notebook, {"connection_env": HISTORY_VARIABLE, "folder": "history", "span": "3mo"})
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {**notebook["metadata"], "kernelspec": kernel, "language_info": IPythonKernel.language_info}
    return json.dumps({**notebook, "metadata": metadata}, indent=1, ensure_ascii=False).encode() + b"\n"


def _empties_token(arguments: Sequence[str]) -> bool:
    words = [word for argument in arguments for word in argument.split("=", 1)]
    return any(
        _TOKEN_OPTION.fullmatch(option) and value.strip("'\"") in ("", "None") for option, value in pairwise(words)
    )


def _write_settings(settings: Path, folder: Path) -> None:
    server: dict[str, Any] = {"ip": "127.0.0.1", "root_dir": str(folder)}
    if os.geteuid() == 0:
        server["allow_root"] = True
    lab: dict[str, Any] = {
        "news_url": None,
        "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        # the default one asks PyPI
        "extension_manager": "readonly",
    }
    if first := min((notebook.name for notebook in folder.glob("*.ipynb")), default=None):
        lab["default_url"] = f"/lab/tree/{first}"
    (settings / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": server}), encoding="utf-8")
    (settings / "jupyter_lab_config.json").write_text(json.dumps({"LabApp": lab}), encoding="utf-8")
    # without the plugin that asks whether to ask for news
    (settings / "labconfig").mkdir()
    (settings / "labconfig" / "page_config.json").write_text(
        json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}), encoding="utf-8"
    )
    # else Jupyter looks for settings of IPython 3 to carry over
    (settings / "migrated").touch()


def _jupyter_environment(settings: str) -> dict[str, str]:
    """Ours instead of ~/.jupyter, where the token may be switched off; but the user's theme and shortcuts."""
    from jupyter_core.paths import jupyter_config_dir

    own = Path(jupyter_config_dir()) / "lab"
    kept = {"JUPYTERLAB_SETTINGS_DIR": str(own / "user-settings"), "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces")}
    kept |= {name: os.environ[name] for name in kept if name in os.environ}
    # the path as well as the folder: it comes before the settings of a virtual environment
    return kept | {"JUPYTER_CONFIG_DIR": settings, "JUPYTER_CONFIG_PATH": settings}


def _run_until_it_ends(command: Sequence[str], folder: Path, environment: dict[str, str]) -> int:
    # our own interpreter; the arguments are the user's
    with (
        subprocess.Popen(command, cwd=folder, env=environment) as process,  # noqa: S603  # a program, no shell
        _signals_go_to(process),
    ):
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # the terminal sends Ctrl-C to Jupyter too, which asks whether to end, and ends at the second
                continue


@contextmanager
def _signals_go_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let a closed terminal or a `kill` end Jupyter, and with it us: so the server is stopped in either case."""
    before = {
        number: signal.signal(number, lambda *_: process.terminate()) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
