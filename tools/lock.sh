#!/usr/bin/env bash
# Resolve pyproject.toml into lock files with hashes, for every supported Python and platform at once.
# Each file is resolved under the constraints of the one before it, so they can be installed together.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "orderwright: make lock needs uv (https://docs.astral.sh/uv/)." >&2; exit 1; }

lock() {
    local file=requirements/$1.lock
    shift
    { echo "# Made by \`make lock\` from pyproject.toml; do not edit."
      uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade "$@"; } >"$file.new"
    mv "$file.new" "$file"
}

lock run pyproject.toml --group build
lock image pyproject.toml --group build --extra etcd -c requirements/run.lock
lock embedded pyproject.toml --group build --extra embedded -c requirements/run.lock
lock dev pyproject.toml --group build --group dev -c requirements/run.lock -c requirements/embedded.lock
