"""`sam build` itself, for both architectures one after the other, on a machine with Python 3.13 and on one without."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.artifact import check
from local.checks import SAM
from local.home import PROJECT

TOOLS = "sh make env dirname basename mkdir rm cp cat find echo sed"

COMPILED = {
    "LoginFunction/__pycache__/app": b"/var/task/app.py",
    "PaymentsLayer/python/payments/store/__pycache__/orders": b"/opt/python/payments/store/orders.py",
    "DependenciesLayer/python/__pycache__/six": b"/opt/python/six.py",
}
"""Bytecode, and what a traceback will call its source."""


class Builder:
    """A copy of what `sam build` reads, in a folder with a space."""

    def __init__(self, folder: Path) -> None:
        self.project, self._bare = folder / "my shop", folder / "bare"
        ignored = shutil.ignore_patterns("__pycache__")
        for name in ("functions", "layers"):
            shutil.copytree(PROJECT / name, self.project / name, ignore=ignored)
        for name in ("template.yaml", "samconfig.toml"):
            shutil.copy(PROJECT / name, self.project / name)
        uv = subprocess.run(["sh", PROJECT / "layers/build.sh", "uv"], capture_output=True, text=True, check=True)
        (self.project / ".local/uv/bin").mkdir(parents=True)
        (self.project / ".local/uv/bin/uv").symlink_to(uv.stdout.strip())
        self._bare.mkdir()
        for tool in TOOLS.split():
            found = shutil.which(tool)
            assert found, tool
            (self._bare / tool).symlink_to(found)

    def build(self, architecture: str, *options: str, bare: bool = False) -> str:
        """Builds; gives what it printed. `bare`: on a PATH without uv and Python.

        uv itself needs some Python: it is told where one is.
        """
        environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "UV_PYTHON": sys.executable}
        environment.pop("UV", None)
        if bare:
            environment |= {"PATH": str(self._bare), "PYENV_ROOT": "/nowhere", "UV_PYTHON_INSTALL_DIR": "/nowhere"}
        command = [str(SAM), "build", *options, "--parameter-overrides", f"Architecture={architecture}"]
        done = subprocess.run(
            command, cwd=self.project, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def wrong(self, architecture: str) -> set[str]:
        report = check(self.project / ".aws-sam/build", architecture=architecture, project=self.project)
        assert report.libraries >= 5
        return {finding.wrong for finding in report.findings}


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


SLOW = "has no bytecode: slow cold starts"


def test_what_is_built_is_of_the_architecture_that_was_asked_for_last_and_compiled(builder: Builder) -> None:
    """One test, because builds take seconds: with SAM's cache and without Python 3.13, then as samconfig.toml says."""
    others = builder.project / "layers/payments/python/payments/__pycache__"
    others.mkdir()
    (others / "table.cpython-311.pyc").write_text("another Python's")
    for wanted, other in (("x86_64", "arm64"), ("arm64", "x86_64"), ("x86_64", "arm64")):
        assert "WITHOUT BYTECODE" in builder.build(wanted, "--cached", bare=True)
        assert builder.wrong(wanted) == {SLOW}
        assert f"is of {wanted}, the stack of {other}" in builder.wrong(other)

    if "WITHOUT BYTECODE" in builder.build("x86_64"):
        assert builder.wrong("x86_64") == {SLOW}
        return
    assert builder.wrong("x86_64") == set()
    for name, place in COMPILED.items():
        assert place in (builder.project / f".aws-sam/build/{name}.cpython-313.pyc").read_bytes()
