#!/usr/bin/env bash
# Runs a short form of the tests on each of Python 3.12, 3.13 and 3.14 that is on this machine, all at the same time, in
# a .venv-3.X each. What is not installed is named and passed over; a Python for which a library has no wheel is, too.
# Anything else that goes wrong is a failure. What was installed is used again while what it was made from is the same.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE= # a compiled copy of everything, for the processes that the tests start
export PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1

NEEDED=(--editable '.[local]' hypothesis pytest pytest-timeout pytest-trio)
# Where Pythons differ: the syntax of types, pickling, warnings, argparse and tracebacks, the interpreter's end, native
# wheels, and trio; each with a process or a call in which all of it is at work.
SHORT=(tests/test_public_api.py tests/test_documents.py tests/test_interrupts.py tests/test_cli_explain.py
  tests/config/test_values.py tests/config/test_identity.py tests/guarantees/test_cfg2_every_mistake_has_its_report.py
  tests/pipelines/test_pipeline_set.py tests/pipelines/test_reloads.py tests/pipelines/test_several_reloads_at_once.py
  tests/pipelines/test_pins.py tests/pipelines/test_closing_a_set.py
  tests/transports/test_audiosocket_wire_format.py tests/transports/test_audiosocket_transport.py
  tests/calls/test_whole_calls.py tests/calls/test_barge_in.py tests/adapters/test_espeak.py tests/adapters/test_vosk.py
  tests/engine/test_calls.py tests/engine/test_reload.py::test_by_command)
NO_WHEEL='No matching distribution found for|Failed building wheel for|Failed to build'

python_for() { # prints the interpreter of a version: from the path, or pyenv's newest
  local found
  found=$(command -v "python$1") && "$found" -c '' 2>/dev/null && echo "$found" && return
  ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python 2>/dev/null | sort -V | tail -n 1
}

run_on() { # version, interpreter
  local place=.venv-$1 log stamp
  stamp="$("$2" -VV) ${NEEDED[*]} $(cat pyproject.toml constraints.txt | sha256sum)"
  if [ "$(cat "$place/installed" 2>/dev/null)" != "$stamp" ]; then
    echo "Python $1: installs into $place"
    if ! log=$("$2" -m venv "$place" 2>&1 && "$place/bin/python" -m pip install --quiet --prefer-binary "${NEEDED[@]}" 2>&1); then
      if grep -qE "$NO_WHEEL" <<<"$log"; then
        echo "Python $1: PASSED OVER, for a library has no wheel for it: $(grep -m 1 -E "$NO_WHEEL" <<<"$log")"
        return 0
      fi
      printf '%s\nPython %s: FAILED, for it could not be installed\n' "$log" "$1"
      return 1
    fi
    echo "$stamp" >"$place/installed"
  fi
  if "$place/bin/python" -m pytest -p no:cacheprovider -q "${SHORT[@]}"; then
    echo "Python $1: passed"
  else
    echo "Python $1: FAILED"
    return 1
  fi
}

outputs=$(mktemp -d)
trap 'rm -rf "$outputs"' EXIT
declare -A running=()
for version in 3.12 3.13 3.14; do
  python=$(python_for "$version")
  if [ -z "$python" ]; then
    echo "Python $version: PASSED OVER, for it is not installed"
  else
    run_on "$version" "$python" >"$outputs/$version" 2>&1 &
    running[$version]=$!
  fi
done

status=0
for version in "${!running[@]}"; do
  wait "${running[$version]}" || status=1
  cat "$outputs/$version"
done
exit $status
