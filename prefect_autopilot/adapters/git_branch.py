"""A changed file as a commit on a new branch: work tree, index and HEAD of the repository stay."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from prefect_autopilot.adapters.files import digest
from prefect_autopilot.errors import AutopilotError, ConflictError, UsageError

_TIMEOUT_S = 60
_AUTHOR = "prefect-autopilot"
_MAIL = "prefect-autopilot@localhost"


def tracked_in(path: Path) -> Path | None:
    """Return the work tree whose git repository knows a file, None where there is none.

    Raises UsageError where a repository is there and git cannot say.
    """
    file = path.resolve()
    if not any((folder / ".git").exists() for folder in file.parents):
        return None
    if shutil.which("git") is None:
        raise UsageError(f"{path} is in a git repository, and the command git is not there; install it.")
    done = _run(file.parent, ["ls-files", "--error-unmatch", "--", file.name], check=False)
    if done.returncode == 1:
        return None  # in a work tree, but not of the repository
    if done.returncode:
        raise UsageError(f"git cannot read the repository of {path}: {_told(done)}.")
    return Path(_run(file.parent, ["rev-parse", "--show-toplevel"]).stdout.strip())


def commit_on_branch(path: Path, text: str, expected: str, *, branch: str, message: str) -> str:
    """Commit ``text`` as the content of a file on a new branch off HEAD and return the commit's id.

    No hook runs. Raises UsageError for a file that git does not know or a bad branch name, ConflictError
    where the branch exists or the committed file is not ``expected``.
    """
    root = tracked_in(path)
    if root is None:
        raise UsageError(f"{path} is in no git repository; use --patch or --write.")
    if _run(root, ["check-ref-format", "--branch", branch], check=False).returncode or branch.startswith("-"):
        raise UsageError(f"{branch!r} is no name of a branch; use letters, digits, dashes and slashes.")
    name = path.resolve().relative_to(root.resolve()).as_posix()
    committed = _run(root, ["show", f"HEAD:{name}"], check=False)
    if committed.returncode or digest(committed.stdout) != digest(expected):
        raise ConflictError(f"{path} is not as it was committed; commit your changes first.")
    mode = _run(root, ["ls-tree", "HEAD", "--", name]).stdout.split()[0]
    blob = _run(root, ["hash-object", "-w", "--stdin"], text=text).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="autopilot-git-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _run(root, ["read-tree", "HEAD"], extra=index)
        _run(root, ["update-index", "--cacheinfo", f"{mode},{blob},{name}"], extra=index)
        tree = _run(root, ["write-tree"], extra=index).stdout.strip()
    commit = _run(
        root, ["commit-tree", tree, "-p", "HEAD", "-m", message], extra=_identity(root)
    ).stdout.strip()
    made = _run(root, ["update-ref", f"refs/heads/{branch}", commit, ""], check=False)
    if made.returncode:
        raise ConflictError(f"The branch {branch} exists already; choose another name.")
    return commit


def _identity(root: Path) -> dict[str, str]:
    """Return who commits, where the repository's configuration does not say."""
    known = _run(root, ["config", "user.email"], check=False).stdout.strip()
    if known:
        return {}
    names = {"NAME": _AUTHOR, "EMAIL": _MAIL}
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in names.items()}


def _run(
    folder: Path,
    arguments: list[str],
    *,
    text: str | None = None,
    extra: dict[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    # A repository named in our own environment is not the one of the file.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = shutil.which("git") or "git"
    try:
        done = subprocess.run(  # noqa: S603  # arguments as a list, the text never a command
            [command, "-C", str(folder), "-c", "core.quotePath=false", *arguments],
            input=text.encode("utf-8") if text is not None else None,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**inherited, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(extra or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AutopilotError(f"git could not be run: {type(error).__name__}.") from error
    told = subprocess.CompletedProcess(
        done.args,
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )
    if check and told.returncode:
        raise AutopilotError(f"git {arguments[0]} failed: {_told(told)}.")
    return told


def _told(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    return lines[0].removeprefix("fatal: ")[:200].rstrip(".") if lines else f"exit code {done.returncode}"
