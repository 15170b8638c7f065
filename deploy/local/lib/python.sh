# shellcheck shell=bash
# Programs in Python that the tests need, from the package index, each in an environment of its own outside the tree, in
# the versions of deploy/tools/NAME/requirements.txt.

# python_program NAME → the path of the program; installs it if it is not there yet.
python_program() {
    local PYTHON_PROGRAM=$1 REQUIREMENTS=$ROOT/deploy/tools/$1/requirements.txt name
    name=tool-$1-$(sha256sum "$REQUIREMENTS" | cut -c1-8)
    fetch_into_cache "$name" install_python_program >&2
    echo "$CACHE/$name/run"
}

# The scripts that pip makes know where they were made, and the directory is moved afterwards: hence one of our own.
install_python_program() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    run_job "$PYTHON_PROGRAM" "$STATE/logs/python.log" \
        sh -c 'python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet --requirement "$2"' sh "$1" "$REQUIREMENTS"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec "$(dirname "$0")/bin/python" -m %s.cli "$@"\n' "$PYTHON_PROGRAM" >"$1/run"
    chmod +x "$1/run"
}
