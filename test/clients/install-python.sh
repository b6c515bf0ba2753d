#!/usr/bin/env bash
# Brings Python's OpenAI clients into a folder, without root; nothing else is changed. Some 30 s, 350 MB.
#
#     install-python.sh FOLDER    then OPENAI_PYTHON=FOLDER/bin/python bun test test/clients
set -euo pipefail
/usr/bin/python3 -m venv "$1"
"$1/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check \
  openai==3.57.0 langchain-openai==1.7.4 llama-index-embeddings-openai==0.7.0
"$1/bin/python" -c 'import openai, langchain_openai, llama_index.embeddings.openai'
