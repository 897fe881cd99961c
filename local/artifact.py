"""What `sam build` has made, looked at before it goes to AWS: a wrong file in it fails only there, at every import.

Of each library: is it Linux's, of the architecture that the stack is deployed with, for CPython 3.13? Of each Python
file: is its bytecode there, Lambda's, of this very source? Of each function and of our own layer: is it today's code?
"""

import _imp
import importlib.util
import marshal
import re
import struct
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local import topology
from local.home import PROJECT

BUILT = PROJECT / ".aws-sam/build"
MACHINES = {"arm64": 183, "x86_64": 62}
"""e_machine of an ELF file, by the architecture's name at Lambda."""

MAGIC = 3571
"""Bytecode of CPython 3.13."""

UNCHECKED_HASH = 0b01
"""The .pyc's flags: named by its source's hash, which Python does not compare at import."""

_LIBRARY = re.compile(r"\.(so(\.[0-9.]+)?|dylib|pyd|dll)$")
BUILD_AGAIN = "sam build --no-cached"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a file or folder, and what to do. `missing_bytecode` is slow; everything else breaks."""

    path: str
    wrong: str
    do: str
    missing_bytecode: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what is wrong with it."""

    architecture: str
    libraries: int
    sources: int
    findings: list[Finding]

    def lines(self) -> Iterator[str]:
        """For people: what is wrong in the same way with several files is said once."""
        alike: dict[tuple[str, str], list[str]] = {}
        for finding in self.findings:
            alike.setdefault((finding.wrong, finding.do), []).append(finding.path)
        for (wrong, do), paths in alike.items():
            yield f"{paths[0]}{f' (and {len(paths) - 1} more)' if len(paths) > 1 else ''}: {wrong}; {do}"
        verdict = "not as it must be" if self.findings else "as they must be"
        yield f"{self.libraries} libraries, {self.sources} Python files for {self.architecture}: {verdict}."


def check(built: Path = BUILT, *, architecture: str, project: Path = PROJECT) -> Report:
    """Looks at every function and layer of the project's template in the folder `built`."""
    findings: list[Finding] = []
    libraries = sources = 0
    for name, resource in topology.load(project / "template.yaml")["Resources"].items():
        properties = resource.get("Properties", {})
        uri = properties.get("CodeUri") or properties.get("ContentUri")
        if uri is None:
            continue
        folder = built / name
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        if not files:
            findings.append(Finding(name, "is not built", f"run {BUILD_AGAIN}"))
        for path in files:
            where = str(path.relative_to(built))
            if _LIBRARY.search(path.name):
                libraries += 1
                findings += _of_library(path, where, architecture)
            elif path.suffix == ".py":
                sources += 1
                findings += _of_bytecode(path, where)
            elif path.suffix == ".pyc":
                findings += _of_orphan(path, where)
        if files:
            of_age = _of_packages if name == "DependenciesLayer" else _of_age
            findings += of_age(folder, project / uri, name)
    return Report(architecture, libraries, sources, findings)


def chosen_architecture(config_env: str, project: Path = PROJECT) -> str:
    """The architecture that `sam deploy --config-env` gives the stack: samconfig.toml's, else the template's default.

    Raises LookupError when samconfig.toml has no such environment.
    """
    config = tomllib.loads((project / "samconfig.toml").read_text())
    if config_env not in config:
        raise LookupError(f"samconfig.toml has no {config_env}")
    sections = (config[config_env].get(section, {}).get("parameters", {}) for section in ("deploy", "global"))
    given = next((found["parameter_overrides"] for found in sections if "parameter_overrides" in found), "")
    if found := re.search(r"\bArchitecture=\W?(\w+)", given if isinstance(given, str) else " ".join(given)):
        return found[1]
    return str(topology.load(project / "template.yaml")["Parameters"]["Architecture"]["Default"])


def _of_library(path: Path, where: str, architecture: str) -> Iterator[Finding]:
    with path.open("rb") as file:
        head = file.read(64)
    if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
        yield Finding(where, "is no 64-bit Linux library", f"run {BUILD_AGAIN}")
        return
    machine, sections_at, section_size, sections = struct.unpack_from("<18xH20xQ10xHH", head)
    if sections_at + section_size * sections > path.stat().st_size:
        yield Finding(where, "is cut off", f"run {BUILD_AGAIN}")
    if machine != MACHINES[architecture]:
        is_of = next((name for name, number in MACHINES.items() if number == machine), f"machine {machine}")
        yield Finding(
            where,
            f"is of {is_of}, the stack of {architecture}",
            f"run {BUILD_AGAIN} --parameter-overrides Architecture={architecture}",
        )
    tag = re.search(r"\.(cpython-\w+(?:-[\w-]+)?|abi3)\.so$", path.name)
    if tag and tag[1] != "abi3" and (not tag[1].startswith("cpython-313-") or not tag[1].endswith("-linux-gnu")):
        yield Finding(where, f"is for {tag[1]}, Lambda's is cpython-313 of linux-gnu", f"run {BUILD_AGAIN}")


def _of_bytecode(source: Path, where: str) -> Iterator[Finding]:
    compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
    if not compiled.is_file():
        do = f"run {BUILD_AGAIN} where there is a Python 3.13"
        yield Finding(where, "has no bytecode: slow cold starts", do, missing_bytecode=True)
        return
    content = compiled.read_bytes()
    magic, flags = struct.unpack_from("<HxxI", content.ljust(16, b"\0"))
    wrong = ""
    if magic != MAGIC:
        wrong = f"is damaged or another Python's: magic number {magic}, CPython 3.13 has {MAGIC}"
    elif not _loads(content[16:]):
        wrong = "is damaged"
    elif flags != UNCHECKED_HASH:
        wrong = "is not made with --invalidation-mode unchecked-hash: in the zip its source has another time"
    elif content[8:16] != _hash(source.read_bytes()):
        wrong = "is not of this source; Python would run it all the same"
    if wrong:
        yield Finding(str(Path(where).parent / "__pycache__" / compiled.name), wrong, f"run {BUILD_AGAIN}")


def _loads(code: bytes) -> bool:
    """Whether the bytecode is whole; only a Python 3.13 can say more than that there is any."""
    if importlib.util.MAGIC_NUMBER[:2] != MAGIC.to_bytes(2, "little"):
        return bool(code)
    try:
        return bool(marshal.loads(code))  # noqa: S302  # what we have built ourselves
    except (EOFError, ValueError, TypeError):
        return False


def _of_orphan(compiled: Path, where: str) -> Iterator[Finding]:
    """Bytecode that no Python file stands for: another Python's, or of a file that is gone."""
    stem, _, tag = compiled.name.removesuffix(".pyc").partition(".")
    if (
        compiled.parent.name != "__pycache__"
        or tag != "cpython-313"
        or not (compiled.parents[1] / f"{stem}.py").exists()
    ):
        yield Finding(where, "is bytecode without a source, or another Python's", f"run {BUILD_AGAIN}")


def _of_age(folder: Path, source: Path, name: str) -> Iterator[Finding]:
    """A function or our own layer, that is no longer what its folder in the project is."""
    made, there = _python(folder), _python(source)
    if made != there:
        one = sorted(path for path in made.keys() | there.keys() if made.get(path) != there.get(path))[0]
        yield Finding(name, f"is of older sources: {one} differs from {source.name}'s", f"run {BUILD_AGAIN}")


def _of_packages(folder: Path, source: Path, name: str) -> Iterator[Finding]:
    """The dependency layer that lacks a package of requirements.txt, or has it in another version."""
    for package, version in re.findall(r"^(\S+)==(\S+) \\$", (source / "requirements.txt").read_text(), re.M):
        if not (folder / "python" / f"{package.replace('-', '_')}-{version}.dist-info").is_dir():
            yield Finding(name, f"lacks {package} {version}", f"run {BUILD_AGAIN}")


def _python(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.py")}


def _hash(source: bytes) -> bytes:
    """What CPython 3.13 writes into a hash-based .pyc; importlib's source_hash is keyed by the running Python's."""
    return _imp.source_hash(int.from_bytes(MAGIC.to_bytes(2, "little") + b"\r\n", "little"), source)
