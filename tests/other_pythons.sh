#!/usr/bin/env bash
# Runs a short form of the tests on each of Python 3.12, 3.13 and 3.14 that is on this machine, in a .venv-3.X of its own.
# What is not installed is named and passed over; a Python for which a pinned library has no wheel is, too.
set -uo pipefail
cd "$(dirname "$0")/.."

SHORT=(tests/test_public_api.py tests/test_documents.py tests/config/test_values.py tests/config/test_identity.py
  tests/pipelines/test_pipeline_set.py tests/transports tests/calls/test_whole_calls.py tests/calls/test_barge_in.py
  tests/adapters/test_espeak.py tests/adapters/test_vosk.py tests/engine/test_calls.py tests/engine/test_reload.py)
failed=()

python_for() { # prints the interpreter of a version: from the path, or pyenv's newest
  command -v "python$1" 2>/dev/null && "python$1" -c '' 2>/dev/null && return
  ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python 2>/dev/null | sort -V | tail -n 1
}

for version in 3.12 3.13 3.14; do
  python=$(python_for "$version" | tail -n 1)
  if [ -z "$python" ]; then
    echo "Python $version: not installed, passed over"
    continue
  fi
  place=.venv-$version
  echo "Python $version: installs into $place"
  if ! { "$python" -m venv "$place" && "$place/bin/pip" install --quiet --editable '.[all,dev]'; }; then
    echo "Python $version: what voicepipe needs can't be installed there yet, passed over"
    continue
  fi
  "$place/bin/pytest" -p no:cacheprovider --quiet --numprocesses 2 --dist loadfile "${SHORT[@]}" || failed+=("$version")
done

[ ${#failed[@]} -eq 0 ] || { echo "failed on Python: ${failed[*]}"; exit 1; }
