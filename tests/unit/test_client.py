"""The mini-program's own tests, under Node's test runner."""

import os
import shutil
import subprocess

import pytest

from local.home import PROJECT


@pytest.mark.skipif(not shutil.which("node") and "CI" not in os.environ, reason="needs node 20 or newer")
def test_pay_js() -> None:
    run = subprocess.run(
        ["node", "--test", *sorted(map(str, (PROJECT / "tests/client").glob("*.test.js")))],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-1000:]
