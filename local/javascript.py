"""JavaScript's tools and packages: npm installs them into tests/node, whose files say which, and how they are set."""

import fcntl
import subprocess
import sys

from local.home import PROJECT

FOLDER = PROJECT / "tests/node"
STYLED = ("{miniprogram,local/web,simulator,tests}/**/*.{js,mjs,css,wxss,html}", "!miniprogram/vendor/**")
CODE = ("miniprogram", "local/web", "tests/client", "tests/node")

_BIN = FOLDER / "node_modules/.bin"
PRETTIER = [str(_BIN / "prettier"), "--config", "tests/node/package.json", "--log-level", "warn"]
ESLINT = [str(_BIN / "eslint"), "--config", "tests/node/eslint.config.mjs", "--max-warnings", "0"]


def install() -> None:
    """What package-lock.json names, when that has changed since the last time. One at a time, over all processes.

    Raises CalledProcessError: npm has said why on standard error.
    """
    with (FOLDER / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = lock.read() + (FOLDER / "package.json").read_bytes()
        installed = FOLDER / "node_modules/.installed"  # `npm ci` begins with removing the folder
        if not installed.exists() or installed.read_bytes() != wanted:
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=FOLDER, check=True)
            installed.write_bytes(wanted)


if __name__ == "__main__":
    try:
        install()
    except subprocess.CalledProcessError as error:
        sys.exit(f"npm could not install JavaScript's tools (see above): npm ci ended with {error.returncode}")
