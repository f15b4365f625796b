"""A rewritten file goes onto a branch of its own: nothing else of the repository moves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from prefect_autopilot.adapters.git_branch import commit_on_branch, tracked_in
from prefect_autopilot.errors import AutopilotError, ConflictError, UsageError

BEFORE, AFTER = "x = 1  # größer\r\n", "x = 2  # größer\r\n"


def git(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(  # the tests' own repository
        ["git", "-C", str(folder), *arguments],  # as a person has it
        capture_output=True,
        check=True,
        env=environment | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
    )
    return done.stdout.decode("utf-8")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    root = tmp_path / "project"
    (root / "flows ä").mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    file = root / "flows ä" / "orders.py"
    file.write_bytes(BEFORE.encode())
    file.chmod(0o755)
    (root / "other.txt").write_text("other\n", encoding="utf-8")
    git(root, "config", "core.autocrlf", "false")
    git(root, "add", "-A")
    git(root, "-c", "user.name=Ada", "-c", "user.email=ada@test", "commit", "-qm", "first")
    return root


def test_the_commit_holds_the_new_content_and_nothing_else_moves(repository: Path) -> None:
    file = repository / "flows ä" / "orders.py"
    (repository / "other.txt").write_text("staged\n", encoding="utf-8")
    git(repository, "add", "other.txt")
    head = git(repository, "rev-parse", "HEAD")
    status = git(repository, "status", "--porcelain")
    commit = commit_on_branch(file, AFTER, BEFORE, branch="autopilot/orders", message="Optimise orders")
    assert git(repository, "show", f"{commit}:flows ä/orders.py") == AFTER
    assert git(repository, "rev-parse", "autopilot/orders").strip() == commit
    assert git(repository, "rev-parse", f"{commit}^") == head == git(repository, "rev-parse", "HEAD")
    assert git(repository, "diff", "--name-only", "-z", "main", commit) == "flows ä/orders.py\0"
    assert git(repository, "ls-tree", commit, "--", "flows ä/orders.py").startswith("100755")
    assert (
        git(repository, "log", "-1", "--format=%s|%an", commit).strip() == "Optimise orders|prefect-autopilot"
    )
    assert git(repository, "status", "--porcelain") == status
    assert file.read_bytes() == BEFORE.encode()
    assert git(repository, "branch", "--show-current").strip() == "main"


def test_the_repositorys_own_identity_commits(repository: Path) -> None:
    git(repository, "config", "user.email", "grace@test")
    git(repository, "config", "user.name", "Grace")
    file = repository / "flows ä" / "orders.py"
    commit = commit_on_branch(file, AFTER, BEFORE, branch="b", message="m")
    assert git(repository, "log", "-1", "--format=%ae", commit).strip() == "grace@test"


def test_no_hook_runs(repository: Path) -> None:
    for name in ("pre-commit", "commit-msg", "reference-transaction", "post-commit"):
        hook = repository / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        if name != "reference-transaction":
            hook.write_text("#!/bin/sh\necho ran >> ../ran\nexit 1\n", encoding="utf-8")
            hook.chmod(0o755)
    commit_on_branch(repository / "flows ä" / "orders.py", AFTER, BEFORE, branch="b", message="m")
    assert not list(repository.parent.rglob("ran"))


def test_an_existing_branch_is_not_moved(repository: Path) -> None:
    file = repository / "flows ä" / "orders.py"
    first = commit_on_branch(file, AFTER, BEFORE, branch="b", message="m")
    with pytest.raises(ConflictError, match="exists already"):
        commit_on_branch(file, "x = 3\n", BEFORE, branch="b", message="m")
    assert git(repository, "rev-parse", "b").strip() == first


@pytest.mark.parametrize(
    "branch", ["", "-f", "a b", "a..b", "a~1", "refs/heads/../x", "@{-1}", "x.lock", "a\nb"]
)
def test_what_is_no_name_of_a_branch_is_refused(repository: Path, branch: str) -> None:
    with pytest.raises(UsageError, match="no name of a branch"):
        commit_on_branch(repository / "flows ä" / "orders.py", AFTER, BEFORE, branch=branch, message="m")
    assert git(repository, "branch", "--list").split() == ["*", "main"]


def test_a_file_that_differs_from_its_commit_is_a_conflict(repository: Path) -> None:
    file = repository / "flows ä" / "orders.py"
    with pytest.raises(ConflictError, match="commit your changes first"):
        commit_on_branch(file, AFTER, "x = 9\n", branch="b", message="m")
    assert git(repository, "branch", "--list").split() == ["*", "main"]


def test_a_file_that_git_does_not_know_is_none_of_it(repository: Path, tmp_path: Path) -> None:
    new = repository / "new.py"
    new.write_text("x = 1\n", encoding="utf-8")
    outside = tmp_path / "outside.py"
    outside.write_text("x = 1\n", encoding="utf-8")
    assert tracked_in(new) is None
    assert tracked_in(outside) is None
    assert tracked_in(repository / "flows ä" / "orders.py") == repository
    for path in (new, outside):
        with pytest.raises(UsageError, match="no git repository"):
            commit_on_branch(path, AFTER, BEFORE, branch="b", message="m")


def test_a_repository_named_in_the_environment_is_not_taken(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert tracked_in(repository / "flows ä" / "orders.py") == repository
    assert not (tmp_path / "index").exists()


def test_a_broken_repository_is_told(repository: Path) -> None:
    (repository / ".git" / "HEAD").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(AutopilotError, match="git"):
        tracked_in(repository / "flows ä" / "orders.py")
