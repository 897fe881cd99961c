"""JavaScript's packages are installed once for each lock; npm is a fake."""

import os
import subprocess
from pathlib import Path

import pytest

from local import javascript

NPM = """#!/bin/sh
echo "$*" >>calls
rm -rf node_modules && mkdir node_modules
[ ! -e fault ]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin/npm"
    npm.write_text(NPM)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(javascript, "FOLDER", tmp_path)
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).write_text(f"{name} 1")
    return tmp_path


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


@pytest.mark.parametrize("changed", ["package.json", "package-lock.json"])
def test_packages_are_installed_once_for_each_lock(folder: Path, changed: str) -> None:
    javascript.install()
    javascript.install()
    assert calls(folder) == 1
    (folder / changed).write_text("2")
    javascript.install()
    javascript.install()
    assert calls(folder) == 2


def test_an_installation_that_failed_is_begun_anew(folder: Path) -> None:
    (folder / "fault").touch()
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            javascript.install()
    (folder / "fault").unlink()
    javascript.install()
    javascript.install()
    assert calls(folder) == 3
