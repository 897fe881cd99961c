"""What `sam build` has made is looked at before a deploy: libraries, bytecode, age."""

import importlib.util
import json
import marshal
import struct
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.artifact import MACHINES, MAGIC, Report, _hash, check, chosen_architecture

SOURCE = b"def handler(event, context):\n    return {'statusCode': 204}\n"
TEMPLATE = """Parameters:
  Architecture:
    Type: String
    Default: arm64
Resources:
  DependenciesLayer:
    Type: AWS::Serverless::LayerVersion
    Properties:
      ContentUri: layers/dependencies

  LoginFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/login
"""
IN_313 = importlib.util.MAGIC_NUMBER[:2] == MAGIC.to_bytes(2, "little")

Change = Callable[[Path], object]


def library(architecture: str) -> bytes:
    """An ELF file of one empty section."""
    head = b"\x7fELF\x02\x01".ljust(16, b"\0")
    rest = struct.pack("<HHIQQQIHHHHHH", 3, MACHINES[architecture], 1, 0, 0, 64, 0, 64, 0, 0, 64, 1, 0)
    return head + rest + bytes(64)


def bytecode(source: bytes = SOURCE, *, magic: int = MAGIC, flags: int = 1) -> bytes:
    code = marshal.dumps(compile(source, "app.py", "exec"))
    return struct.pack("<HccI", magic, b"\r", b"\n", flags) + _hash(source) + code


PYC = "LoginFunction/__pycache__/app.cpython-313.pyc"
SO = "DependenciesLayer/python/_cffi_backend.cpython-313-aarch64-linux-gnu.so"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one function and one layer, built well for arm64."""
    write = {
        "template.yaml": TEMPLATE.encode(),
        "functions/login/app.py": SOURCE,
        "layers/dependencies/requirements.txt": b"py-cffi==2.1.1 \\\n    --hash=sha256:0\n",
        ".aws-sam/build/LoginFunction/app.py": SOURCE,
        f".aws-sam/build/{PYC}": bytecode(),
        ".aws-sam/build/DependenciesLayer/python/py_cffi-2.1.1.dist-info/METADATA": b"",
        f".aws-sam/build/{SO}": library("arm64"),
        ".aws-sam/build/DependenciesLayer/python/cffi.libs/libffi-1f.so.8": library("arm64"),
        ".aws-sam/build/DependenciesLayer/python/_rust.abi3.so": library("arm64"),
    }
    for name, content in write.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def look(project: Path, architecture: str = "arm64") -> Report:
    return check(project / ".aws-sam/build", architecture=architecture, project=project)


def test_what_is_built_well_passes(project: Path) -> None:
    report = look(project)
    assert report.findings == []
    assert (report.libraries, report.sources) == (3, 1)
    assert list(report.lines()) == ["3 libraries, 1 Python files for arm64: as they must be."]


def test_libraries_of_the_other_architecture_are_named_with_the_command_that_mends_it(project: Path) -> None:
    findings = look(project, "x86_64").findings
    assert len(findings) == 3
    for finding in findings:
        assert finding.wrong == "is of arm64, the stack of x86_64"
        assert finding.do == "run sam build --no-cached --parameter-overrides Architecture=x86_64"
    (project / ".aws-sam/build" / SO).write_bytes(library("x86_64"))
    (finding,) = look(project, "arm64").findings
    assert finding.path == SO
    assert finding.wrong == "is of x86_64, the stack of arm64"
    assert json.loads(json.dumps(asdict(look(project, "arm64"))))["findings"][0]["path"] == SO


def put(name: str, content: bytes) -> Change:
    def change(built: Path) -> None:
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_bytes(content)

    return change


def remove(name: str) -> Change:
    return lambda built: (built / name).unlink()


PYTHON = "DependenciesLayer/python"


@pytest.mark.parametrize(
    ("change", "path", "wrong"),
    [
        (remove(PYC), "LoginFunction/app.py", "has no bytecode"),
        (put(PYC, b""), PYC, "is damaged"),
        (put(PYC, bytecode()[:16]), PYC, "is damaged"),
        (put(PYC, bytecode(magic=3495)), PYC, "magic number 3495"),
        (put(PYC, bytecode(flags=0)), PYC, "is not made with"),
        (put(PYC, bytecode(flags=3)), PYC, "is not made with"),
        (put(PYC, bytecode(b"handler = None\n")), PYC, "is not of this source"),
        (
            put("LoginFunction/__pycache__/old.cpython-313.pyc", bytecode()),
            "LoginFunction/__pycache__/old",
            "without a",
        ),
        (put("LoginFunction/__pycache__/app.cpython-311.pyc", bytecode()), "LoginFunction/__pycache__/app", "another"),
        (put("LoginFunction/app.pyc", bytecode()), "LoginFunction/app.pyc", "without a source"),
        (put(f"{PYTHON}/six.py", b"x = 1\n"), f"{PYTHON}/six.py", "has no bytecode"),
        (put(f"{PYTHON}/a.cpython-313-darwin.so", b"\xcf\xfa\xed\xfe" + bytes(99)), f"{PYTHON}/a.", "no 64-bit Linux"),
        (put(f"{PYTHON}/a.so", b""), f"{PYTHON}/a.so", "no 64-bit Linux"),
        (put(f"{PYTHON}/a.libs/liba.so.1.2", library("arm64")[:-1]), f"{PYTHON}/a.libs", "is cut off"),
        (put(f"{PYTHON}/a.cpython-312-aarch64-linux-gnu.so", library("arm64")), f"{PYTHON}/a.", "is for cpython-312"),
        (put(f"{PYTHON}/a.cpython-313t-aarch64-linux-gnu.so", library("arm64")), f"{PYTHON}/a.", "is for cpython-313t"),
        (put(f"{PYTHON}/a.cpython-313-aarch64-linux-musl.so", library("arm64")), f"{PYTHON}/a.", "linux-musl"),
        (put("LoginFunction/a.so", library("x86_64")), "LoginFunction/a.so", "is of x86_64"),
        (put("../../functions/login/app.py", b"new = 1\n"), "LoginFunction", "is of older sources: app.py"),
        (put("../../functions/login/more.py", b"new = 1\n"), "LoginFunction", "is of older sources: more.py"),
        (put("../../layers/dependencies/requirements.txt", b"py-cffi==2.2 \\\n"), "DependenciesLayer", "lacks py-cffi"),
    ],
)
def test_each_wrong_file_is_named_with_what_to_do(project: Path, change: Change, path: str, wrong: str) -> None:
    change(project / ".aws-sam/build")
    (finding,) = look(project).findings
    assert finding.path.startswith(path)
    assert wrong in finding.wrong
    assert finding.do.startswith("run sam build")
    assert finding.missing_bytecode == ("no bytecode" in finding.wrong)


def test_what_is_not_built_is_said(project: Path) -> None:
    (project / ".aws-sam").rename(project / "elsewhere")
    assert [(f.path, f.wrong) for f in look(project).findings] == [
        ("DependenciesLayer", "is not built"),
        ("LoginFunction", "is not built"),
    ]


def test_the_same_wrong_of_many_files_is_one_line(project: Path) -> None:
    for name in range(100):
        put(f"{PYTHON}/m{name}.py", b"")(project / ".aws-sam/build")
    lines = list(look(project).lines())
    assert len(lines) == 2
    assert "(and 99 more)" in lines[0]


OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@OFTEN
@given(at=st.integers(0, 15), byte=st.integers(0, 255))
def test_no_byte_of_bytecodes_head_can_differ(project: Path, at: int, byte: int) -> None:
    changed = bytearray(bytecode())
    same = changed[at] == byte
    changed[at] = byte
    (project / ".aws-sam/build" / PYC).write_bytes(changed)
    assert (look(project).findings == []) == (same or at in (2, 3))  # those two are \r\n in every version


@OFTEN
@given(length=st.integers(0, len(bytecode()) - 1 if IN_313 else 16))  # only a Python 3.13 can read its own bytecode
def test_bytecode_cut_off_anywhere_is_found(project: Path, length: int) -> None:
    (project / ".aws-sam/build" / PYC).write_bytes(bytecode()[:length])
    assert [finding.path for finding in look(project).findings] == [PYC]


@OFTEN
@given(length=st.integers(0, len(library("arm64")) - 1))
def test_a_library_cut_off_anywhere_is_found(project: Path, length: int) -> None:
    (project / ".aws-sam/build" / SO).write_bytes(library("arm64")[:length])
    assert SO in [finding.path for finding in look(project).findings]


def test_the_architecture_is_the_one_that_sam_deploy_will_give(project: Path) -> None:
    def samconfig(text: str) -> None:
        (project / "samconfig.toml").write_text(text)

    samconfig('[prod.global.parameters]\nparameter_overrides = ["Mchid=1"]\n')
    assert chosen_architecture("prod", project) == "arm64"
    samconfig('[prod.global.parameters]\nparameter_overrides = ["Mchid=1", "Architecture=x86_64"]\n')
    assert chosen_architecture("prod", project) == "x86_64"
    samconfig("[prod.global.parameters]\nparameter_overrides = 'Mchid=1 Architecture=\"x86_64\"'\n")
    assert chosen_architecture("prod", project) == "x86_64"
    # The command's own section counts alone where both are there, as SAM has it.
    both = '[prod.global.parameters]\nparameter_overrides = ["Architecture=x86_64"]\n'
    samconfig(both + '[prod.deploy.parameters]\nparameter_overrides = ["Mchid=1"]\n')
    assert chosen_architecture("prod", project) == "arm64"
    with pytest.raises(LookupError, match="has no staging"):
        chosen_architecture("staging", project)


def test_build_and_deploy_take_their_parameters_from_one_place() -> None:
    config = tomllib.loads(Path("samconfig.toml").read_text())
    stacks = [name for name in config if name not in ("version", "local")]
    assert {"default", "staging", "prod", "staging-cn", "prod-cn"} <= set(stacks)
    for name in stacks:
        sections = {
            command for command, section in config[name].items() if "parameter_overrides" in section["parameters"]
        }
        assert sections == {"global"}, name
