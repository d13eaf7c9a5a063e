#!/usr/bin/env bash
# Tests the adapter of Brain-Score, which needs NumPy below 2, in a fresh virtual environment, and ends with the
# summary of the tests. PYTHON names the interpreter, 3.11 or 3.12; by default the first one on the path.
set -euo pipefail
cd "$(dirname "$0")"

for python in ${PYTHON:-python3 python3.12 python3.11} ""; do
    "${python:-false}" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && break
done
[ -n "$python" ] || { echo "Brain-Score needs Python 3.11 or 3.12: name one with PYTHON=" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" -m venv "$folder/venv"
install=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt)
"${install[@]}" ../../.. pytest brainscore-core psutil scikit-learn h5py result-caching opencv-python-headless
"${install[@]}" --no-deps brainscore-vision

TMPDIR=$folder RESULTCACHING_HOME=$folder "$folder/venv/bin/python" -m pytest -p no:cacheprovider \
    -W "ignore:xarray subclass Score should:FutureWarning" .
