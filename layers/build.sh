#!/bin/sh
# How layers and functions are made, for `sam build` (layers/Makefile) and for the laptop cloud (local/emulator.py):
#
#   build.sh uv                          prints where uv is, .local/uv at last
#   build.sh python                      prints a Python 3.13, Lambda's, of this machine; exit code 1 where there is none
#   build.sh packages TARGET OPTION...   installs requirements.txt, less what no function uses; options of uv pip install
#   build.sh bytecode FOLDER PLACE ...   compiles what will be at PLACE on Lambda; options of compileall.
#                                        Without a Python 3.13 nothing: other bytecode is of no use there
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# What the functions call. Another AWS service must be added here, or boto3 raises UnknownServiceError.
services="dynamodb secretsmanager sns sqs sso sso-oidc sts"

# Lambda's own bytecode number, so neither a prerelease nor a free-threaded build.
is_lambdas='import importlib.util, sys
if importlib.util.MAGIC_NUMBER[:2] != (3571).to_bytes(2, "little") or sys.abiflags: sys.exit(1)
print(sys.executable)'

find_uv() {
  for uv in "${UV:-}" "$(command -v uv || true)" "$here/../.local/uv/bin/uv"; do
    case $([ -z "$uv" ] || "$uv" --version 2>/dev/null) in
      "uv "*) echo "$uv" && return ;;
    esac
  done
  echo "uv is not there: ./dev status installs it into .local/uv, or see https://docs.astral.sh/uv/" >&2
  return 1
}

find_python() {
  for python in python3.13 python3 "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.13*/bin/python3.13; do
    "$python" -I -c "$is_lambdas" 2>/dev/null && return
  done
  uv=$(find_uv 2>/dev/null) || return 1
  python=$(cd / && UV_PYTHON_DOWNLOADS=never "$uv" python find --managed-python 3.13 2>/dev/null) || return 1
  "$python" -I -c "$is_lambdas" 2>/dev/null
}

verb=$1
shift
case $verb in
  uv) find_uv ;;
  python) find_python ;;
  packages)
    target=$1
    shift
    uv=$(find_uv)
    "$uv" pip install --quiet --require-hashes --target "$target" --requirements "$here/dependencies/requirements.txt" "$@"
    for folder in "$target"/botocore/data/*/; do
      case " $services " in *" $(basename "$folder") "*) ;; *) rm -r "$folder" ;; esac
    done
    rm -rf "$target/bin" "$target/.lock"
    ;;
  bytecode)
    folder=$1 place=$2
    shift 2
    # Nobody's bytecode but Lambda's. Hashes, not times: the zip dates every file 1980.
    find "$folder" -type d -name __pycache__ -prune -exec rm -r {} +
    if python=$(find_python); then
      "$python" -I -m compileall -q --invalidation-mode unchecked-hash -s "$folder" -p "$place" "$@" "$folder"
    fi
    ;;
  *)
    echo "build.sh: no such verb: $verb" >&2
    exit 2
    ;;
esac
