#!/usr/bin/env bash
# Makes a Python with the databases of docs/recipes/, in a folder; nothing else is changed.
#
#     install.sh FOLDER    then RECIPES_PYTHON=FOLDER/bin/python bun test …
set -euo pipefail
# Debian's own: others may have been built without SQLite's extensions.
/usr/bin/python3 -m venv "$1"
"$1/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check \
  duckdb==2.0.1 numpy==2.4.6 'psycopg[binary]==3.3.9' pgserver==0.1.4 qdrant-client==1.20.0 sqlite-vec==0.1.9
