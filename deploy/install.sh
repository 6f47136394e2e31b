#!/bin/sh
# What the image is made of, as a script that runs anywhere: installs Footnote into a virtual environment.
#
#   deploy/install.sh dependencies VENV [EXTRAS]   what pyproject.toml pins, so that a changed source costs no download
#   deploy/install.sh footnote VENV                Footnote itself, from a wheel of the sources beside this script
#
# EXTRAS as in pip, for instance multilingual,langchain. PIP_EXTRA_INDEX_URL may name an index of PyTorch builds.
set -eu
step=${1:?dependencies or footnote}
venv=${2:?a folder for the virtual environment}
extras=${3:-}
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
case $step in
dependencies)
  "$venv/bin/python" "$source/deploy/requirements.py" "$source/pyproject.toml" "$extras" >"$work/requirements.txt"
  "$venv/bin/pip" install --no-cache-dir --quiet --requirement "$work/requirements.txt"
  ;;
footnote)
  "$venv/bin/pip" wheel --no-cache-dir --quiet --no-deps --wheel-dir "$work" "$source"
  "$venv/bin/pip" install --no-cache-dir --quiet --no-deps "$work"/*.whl
  "$venv/bin/footnote" --version
  ;;
*)
  echo "$step: dependencies or footnote" >&2
  exit 2
  ;;
esac
