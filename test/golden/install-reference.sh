#!/usr/bin/env bash
# Brings what reference.py needs into a folder, on Debian 12 and without root; nothing else is changed.
#
#     install-reference.sh FOLDER    then PYTHON=FOLDER/python PROOF=all bun test …
#
# torch is Debian's own: 150 MB with what it needs, for the CPU alone. Python's package registry has it for
# graphics cards only, as 3 GB. Debian's is 1.13, and 4.46 the last transformers that takes it.
set -euo pipefail
folder=$(realpath "$1")
python=/usr/bin/python3

apt=(
  apt-get -qq -o Dir::State::Lists="$folder/apt/lists" -o Dir::Cache="$folder/apt/cache"
  -o Debug::NoLocking=true -o APT::Sandbox::User="$(id -un)"
)
mkdir -p "$folder"/apt/{lists,cache/archives}/partial "$folder/debian"
"${apt[@]}" update
"${apt[@]}" install --yes --download-only --no-install-recommends python3-torch libopenblas0-pthread
# What this host has installed is not among them, and is found where it is.
shopt -s nullglob
for package in "$folder"/apt/cache/archives/*.deb; do
  dpkg-deb --extract "$package" "$folder/debian"
done
rm -r "$folder/apt"

"$python" -m venv --system-site-packages "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check \
  numpy==1.26.4 pillow==13.0.0 safetensors==0.8.0 transformers==4.46.3
ask() { "$folder/venv/bin/python" -c "import sysconfig; print(sysconfig.$1)"; }
echo "$folder/debian/usr/lib/python3/dist-packages" >"$(ask 'get_path("purelib")')/debian.pth"

# OpenBLAS goes first: what bears the same name beside it is the slow original.
libraries=$folder/debian/usr/lib/$(ask 'get_config_var("MULTIARCH")')
cat >"$folder/python" <<END
#!/bin/sh
export LD_LIBRARY_PATH='$libraries/openblas-pthread:$libraries:$folder/debian/usr/lib'
exec '$folder/venv/bin/python' "\$@"
END
chmod +x "$folder/python"
"$folder/python" -c 'import torch; from transformers import CLIPImageProcessor, CLIPModel'
