#!/usr/bin/env bash
# Servers made with the SDK of PyPI behind the supervisor: installs them, in fixed versions and a folder of its own, and
# runs pypi.py and degraded.py, which tell what is shown. Its argument is the binary of the supervisor. Needs Python 3.11 or newer.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
binary=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH PYTHONHOME

python3 -m venv "$scratch/venv"
pip=("$scratch/venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install --quiet --no-cache-dir --no-deps --only-binary :all: --requirement "$here/requirements.txt"
"${pip[@]}" check >"$scratch/check" || { cat "$scratch/check" >&2 && exit 1; }

# Nothing of ours is compiled into the sources' folder; pip has compiled what it has installed.
for program in pypi.py degraded.py; do
    PYTHONDONTWRITEBYTECODE=1 TMPDIR="$scratch" "$scratch/venv/bin/python" "$here/$program" "$binary"
done
