"""./dev on machines that lack something, and after installations that did not end; uv and pip are fakes."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local import emulator
from local.emulator import StartFailed, install_dependencies
from local.home import PROJECT, Home

UV = """#!/bin/sh
# A uv that installs a Python and one tool; it does what the file `fault` beside it says.
here=$(dirname "$0")
[ "$1" = --version ] && exec echo "uv 9.9.9"
[ "$1" = sync ] || exit 0
mkdir "$here/busy" || exit 9
echo "sync $UV_PROJECT_ENVIRONMENT" >>"$here/calls"
env=$UV_PROJECT_ENVIRONMENT
mkdir -p "$env/bin"
echo half >"$env/half"
ln -sf "{python}" "$env/bin/python"
if [ -e "$here/fault" ]; then
  rmdir "$here/busy"
  . "$here/fault"
  exit 2
fi
rm -f "$env/half-made"
rmdir "$here/busy"
"""

FULL = 'touch "$env/half-made"; printf "error: Failed to install\\n  cause: No space left on device (os error 28)" >&2'
KILLED = 'touch "$env/half-made"; kill -9 $PPID; kill -9 $$'


def python(*refused: str) -> str:
    """A Python that is not Lambda's, and refuses what has one of these words in it."""
    cases = "".join(f"*{word}*) exit 1 ;; " for word in ("MAGIC_NUMBER", *refused))
    return f'#!/bin/sh\ncase "$*" in {cases}esac\nexec "{sys.executable}" "$@"\n'


class Machine:
    """A copy of what ./dev is made of, in a folder with a space, and a PATH with nothing but what is put there."""

    def __init__(self, folder: Path) -> None:
        self.project, self.bin = folder / "my project", folder / "bin"
        self.bin.mkdir()
        for name in ("layers", "local"):
            (self.project / name).mkdir(parents=True)
        for name in ("dev", "layers/build.sh"):
            shutil.copy(PROJECT / name, self.project / name)
        (self.project / "uv.lock").write_text("the lock")
        (self.project / "local/__main__.py").write_text("import sys; print('ran', *sys.argv[1:])\n")
        tools = (
            "bash sh env dirname basename mkdir rm rmdir mv cat head tail grep sed paste cksum uname ln touch echo cp"
        )
        for tool in tools.split():
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)
        self.put("python3", python())

    def put(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def put_uv(self) -> None:
        self.put("uv", UV.replace("{python}", sys.executable))

    def command(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.bin), "PYENV_ROOT": str(self.bin)}

    def dev(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.project / "dev"), *arguments],
            env=self.command(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            start_new_session=True,
        )

    def syncs(self) -> int:
        calls = self.bin / "calls"
        return len(calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def assert_one_line(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """It failed, and what it says last and alone is one line with these words."""
    assert done.returncode == 1, done
    (line,) = [
        line for line in done.stderr.splitlines() if not line.startswith(("installing", "uv is not there: inst"))
    ]
    assert line.startswith("./dev: ")
    for word in words:
        assert word in line
    assert "Traceback" not in done.stderr


def assert_runs(done: "subprocess.CompletedProcess[str]") -> None:
    assert (done.returncode, done.stdout) == (0, "ran status\n"), done


def test_it_installs_once_and_then_only_runs(machine: Machine) -> None:
    machine.put_uv()
    for _ in range(3):
        assert_runs(machine.dev("status"))
    assert machine.syncs() == 1
    (machine.project / "uv.lock").write_text("another lock")
    assert_runs(machine.dev("status"))
    assert machine.syncs() == 2


@pytest.mark.parametrize("fault", [FULL, KILLED])
@pytest.mark.parametrize("before", [False, True])
def test_an_environment_that_is_half_made_is_begun_anew(machine: Machine, fault: str, *, before: bool) -> None:
    machine.put_uv()
    if before:  # a good one was there, and its change does not end
        assert_runs(machine.dev("status"))
        (machine.project / "uv.lock").write_text("another lock")
    (machine.bin / "fault").write_text(fault)
    done = machine.dev("status")
    if fault == FULL:
        assert_one_line(done, ".venv cannot be installed", "the disk is full")
    assert done.returncode != 0
    assert (machine.project / ".venv/half-made").exists()
    (machine.project / ".venv/of the half").touch()
    (machine.bin / "fault").unlink()
    assert_runs(machine.dev("status"))
    assert not (machine.project / ".venv/of the half").exists()
    assert machine.syncs() == 2 + before
    assert_runs(machine.dev("status"))
    assert machine.syncs() == 2 + before


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("error: failed to create directory: Read-only file system (os error 30)", "the disk is read-only"),
        ("error: Permission denied (os error 13)", "no permission to write"),
        ("error: Failed to fetch: https://pypi.org/simple/moto", "the package index cannot be reached"),
        ("error: dns error: failed to lookup address", "the package index cannot be reached"),
        ("error: something\\n  cause: quite else\\n", "quite else"),
    ],
)
def test_why_it_cannot_be_installed_is_one_line(machine: Machine, says: str, told: str) -> None:
    machine.put_uv()
    (machine.bin / "fault").write_text(f'printf "{says}" >&2')
    assert_one_line(machine.dev("status"), ".venv cannot be installed", told)


def test_what_cannot_be_mended_in_place_is_begun_anew(machine: Machine) -> None:
    machine.put_uv()
    assert_runs(machine.dev("status"))
    marked = machine.project / ".venv/made before"
    marked.touch()
    (machine.project / ".venv/bin/python").unlink()
    (machine.project / ".venv/bin/python").symlink_to("/nowhere/python3")  # it was uninstalled
    assert_runs(machine.dev("status"))
    assert not marked.exists()
    marked.touch()
    machine.project = machine.project.rename(machine.project.parent / "moved")  # its scripts name the old place
    assert_runs(machine.dev("status"))
    assert not (machine.project / ".venv/made before").exists()
    assert machine.syncs() == 3


def test_an_environment_of_another_python_is_made_anew_for_the_tests_and_the_cloud(machine: Machine) -> None:
    machine.put_uv()
    assert machine.dev("up").returncode == 0
    stamp = machine.project / ".venv/.synced"
    stamp.write_text(stamp.read_text().rsplit(" ", 1)[0] + " 3.10\n")
    assert_runs(machine.dev("status"))
    assert machine.syncs() == 2
    assert machine.dev("up").returncode == 0
    assert machine.syncs() == 3


def test_two_at_once_install_one_after_the_other(machine: Machine) -> None:
    machine.put_uv()
    both = [
        subprocess.Popen(
            [str(machine.project / "dev"), "status"],
            env=machine.command(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for one in both:
        output, errors = one.communicate(timeout=60)
        assert (one.returncode, output) == (0, b"ran status\n"), errors
    assert machine.syncs() == 1


# --- uv that is not there

PIP = """#!/bin/sh
# A Python whose venv and pip are fakes: pip brings the fake uv, or does what the file `fault` says.
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp "{bin}/python3" "$3/bin/python"; exit; fi
if [ "$1 $2" = "-m pip" ]; then
  cd "$(dirname "$0")"
  echo "half a program" >uv
  echo pip >>"{bin}/pips"
  if [ -e "{bin}/fault" ]; then . "{bin}/fault"; exit 1; fi
  rm uv && cp "{bin}/uv.good" uv
  exit
fi
case "$*" in *MAGIC_NUMBER*) exit 1 ;; esac
exec "{python}" "$@"
"""


def with_pip(machine: Machine) -> None:
    machine.put("uv.good", UV.replace("{python}", sys.executable).replace('$(dirname "$0")', str(machine.bin)))
    machine.put("python3", PIP.replace("{bin}", str(machine.bin)).replace("{python}", sys.executable))


def test_uv_is_installed_where_it_is_not_there(machine: Machine) -> None:
    with_pip(machine)
    for _ in range(2):
        assert_runs(machine.dev("status"))
    assert (machine.bin / "pips").read_text() == "pip\n"
    assert [path.name for path in (machine.project / ".local/uv").rglob("*") if path.is_file()] == ["uv"]
    assert not (machine.project / ".local/uv.new").exists()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("echo 'ERROR: Could not install: [Errno 28] No space left on device' >&2", "the disk is full"),
        ("echo 'WARNING: NewConnectionError: name resolution' >&2", "the package index cannot be reached"),
        ("kill -9 $PPID; kill -9 $$", ""),
    ],
)
def test_a_first_installation_of_uv_that_does_not_end_leaves_nothing_broken(
    machine: Machine, fault: str, told: str
) -> None:
    with_pip(machine)
    (machine.bin / "fault").write_text(fault)
    done = machine.dev("status")
    if told:
        assert_one_line(done, "uv cannot be installed", told)
    assert done.returncode != 0
    assert not (machine.project / ".local/uv/bin/uv").exists()
    (machine.bin / "fault").unlink()
    assert_runs(machine.dev("status"))


@pytest.mark.parametrize(
    ("content", "mode"), [("", 0o644), ("half", 0o755), ("", 0o755), ("#!/bin/sh\nexit 127\n", 0o755)]
)
def test_a_broken_uv_is_replaced(machine: Machine, content: str, mode: int) -> None:
    """As an installation of older versions has left it; and one on the PATH that does not run is passed over."""
    with_pip(machine)
    for path in (machine.project / ".local/uv/bin/uv", machine.bin / "uv"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
    assert_runs(machine.dev("status"))


def test_a_python_without_venv_is_told_what_to_install(machine: Machine) -> None:
    machine.put("python3", python("ensurepip"))
    assert_one_line(machine.dev("status"), "python3-venv", "https://docs.astral.sh/uv/")
    machine.put_uv()  # with uv it needs neither
    assert_runs(machine.dev("status"))


def test_no_python_or_an_old_one_is_one_line(machine: Machine) -> None:
    machine.put_uv()
    for script in ("exit 127", "case $2 in *version_info*) echo 3.9; exit 1 ;; esac"):
        machine.put("python3", f"#!/bin/sh\n{script}\n")
        assert_one_line(machine.dev("status"), "needs Python 3.11 or newer")


def test_a_folder_that_cannot_be_written_is_one_line(machine: Machine) -> None:
    (machine.project / ".local").write_text("in the way")
    assert_one_line(machine.dev("status"), "cannot write into", str(machine.project))


def test_lambdas_python_comes_first_wherever_it_is(machine: Machine) -> None:
    """On the PATH, under pyenv whose shim refuses, or among uv's own."""
    build = str(machine.project / "layers/build.sh")
    lambdas = f'#!/bin/sh\ncase "$*" in *MAGIC_NUMBER*) echo "$0" ;; *) exec "{sys.executable}" "$@" ;; esac\n'

    def found() -> str:
        environment = machine.command()
        done = subprocess.run([build, "python"], env=environment, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else f"exit {done.returncode}"

    (machine.project / "layers/build.sh").chmod(0o755)
    machine.put("python3", "#!/bin/sh\nexit 1\n")
    assert found() == "exit 1"
    machine.put("python3.13", "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
    assert found() == "exit 1"
    managed = machine.put("managed", lambdas)
    machine.put(
        "uv", f'#!/bin/sh\ncase "$1 $2" in "--version ") echo "uv 1" ;; "python find") echo "{managed}" ;; esac\n'
    )
    assert found() == str(managed)
    pyenv = machine.bin / "versions/3.13.5/bin/python3.13"
    pyenv.parent.mkdir(parents=True)
    pyenv.write_text(lambdas)
    pyenv.chmod(0o755)
    assert found() == str(pyenv)
    on_path = machine.put("python3.13", lambdas)
    assert found() == str(on_path)


def test_a_python_whose_bytecode_is_not_lambdas_is_not_taken_for_it(machine: Machine) -> None:
    lines = (PROJECT / "layers/build.sh").read_text()
    probe = lines[lines.index("is_lambdas='") + len("is_lambdas='") :].split("'")[0]
    for magic, flags, accepted in ((3571, "", True), (3495, "", False), (3565, "", False), (3571, "t", False)):
        fake = "import sys, types\nm = types.ModuleType('importlib.util')\n"
        fake += f"m.MAGIC_NUMBER = ({magic}).to_bytes(2, 'little')\n"
        fake += "p = types.ModuleType('importlib'); p.util = m\n"
        fake += f"sys.modules.update({{'importlib': p, 'importlib.util': m}})\nsys.abiflags = {flags!r}\n"
        done = subprocess.run([sys.executable, "-c", fake + probe], capture_output=True, check=False)
        assert (done.returncode == 0) == accepted, (magic, flags)


# --- the laptop cloud's packages

PACKAGES = """#!/bin/sh
# A uv that installs boto3's services, and ends with the exit code in the file `fails`.
[ "$1" = --version ] && exec echo "uv 9.9.9"
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/botocore/data/ec2" "$2/botocore/data/sqs" "$2/bin"
echo >"$2/six.py"
echo installed >>"$(dirname "$0")/installed"
[ ! -e "$(dirname "$0")/fails" ] || exit "$(cat "$(dirname "$0")/fails")"
"""


@pytest.fixture
def home(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home of a laptop cloud, with a fake uv and an environment of the emulator."""
    monkeypatch.setenv("UV", str(machine.put("uv", PACKAGES)))
    monkeypatch.setattr(emulator, "CLOUD", machine.bin)
    (machine.bin / "pyvenv.cfg").write_text("version_info = 3.13.0\n")
    home = Home(machine.project / ".local")
    home.folder.mkdir()
    return home


def installed(machine: Machine) -> int:
    return len((machine.bin / "installed").read_text().splitlines())


def test_the_laptops_packages_are_the_deployed_layers_less_what_no_function_uses(home: Home) -> None:
    folder = asyncio.run(install_dependencies(home))
    assert [path.name for path in (folder / "botocore/data").iterdir()] == ["sqs"]
    assert not (folder / "bin").exists()


def test_the_laptops_packages_are_made_once_and_again_for_another_python(machine: Machine, home: Home) -> None:
    for _ in range(2):
        asyncio.run(install_dependencies(home))
    assert installed(machine) == 1
    (machine.bin / "pyvenv.cfg").write_text("version_info = 3.11.7\n")
    asyncio.run(install_dependencies(home))
    assert installed(machine) == 2


@pytest.mark.parametrize("before", [False, True])
def test_packages_that_are_half_installed_are_not_used(machine: Machine, home: Home, *, before: bool) -> None:
    if before:
        asyncio.run(install_dependencies(home))
        (machine.bin / "pyvenv.cfg").write_text("version_info = 3.11.7\n")
    (machine.bin / "fails").write_text("2")
    for _ in range(2):
        with pytest.raises(StartFailed):
            asyncio.run(install_dependencies(home))
    assert (home.folder / "dependencies").exists() == before
    (home.folder / "dependencies.new/left").touch()
    (machine.bin / "fails").unlink()
    folder = asyncio.run(install_dependencies(home))
    assert {path.name for path in folder.iterdir()} == {".stamp", "botocore", "six.py"}
    assert not (home.folder / "dependencies.new").exists()


def test_packages_of_another_cloud_are_left_alone_when_they_are_too_old(machine: Machine, home: Home) -> None:
    theirs = asyncio.run(install_dependencies(home))
    own = Home(machine.project / "own")
    own.folder.mkdir()
    (own.folder / "dependencies").symlink_to(theirs)
    assert asyncio.run(install_dependencies(own)).is_symlink()
    (machine.bin / "pyvenv.cfg").write_text("version_info = 3.11.7\n")
    assert not asyncio.run(install_dependencies(own)).is_symlink()
    assert (theirs / "six.py").exists()
