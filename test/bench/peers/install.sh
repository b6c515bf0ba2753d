#!/usr/bin/env bash
# Brings what the peers need into a folder, and changes nothing else: 6 GB, mostly torch's libraries for graphics
# cards, which Python's package registry gives to everyone on Linux.
#
#     install.sh FOLDER    needs python3 with venv, node and npm
set -euo pipefail
folder=$1
here=$(dirname "$(realpath "$0")")
mkdir -p "$folder/node"

python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check \
  --requirement "$here/sentence-transformers/requirements.txt"

cp "$here/transformers-js/package.json" "$folder/node/"
# onnxruntime's script would fetch libraries for graphics cards; sharp's and its own for the CPU come in the packages.
(cd "$folder/node" && npm install --no-fund --no-audit --silent --ignore-scripts)
