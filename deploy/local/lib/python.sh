# shellcheck shell=bash
# Programs in Python that the tests need, from the package index, each in an environment of its own outside the tree.

# Makes requests from an OpenAPI document and checks the answers against it.
SCHEMATHESIS_PACKAGE=schemathesis==4.32.5

# python_program PACKAGE==VERSION → the path of the program of that name; installs it if it is not there yet.
python_program() {
    local PYTHON_PACKAGE=$1
    fetch_into_cache "$1" install_python_program >&2
    echo "$CACHE/$1/run"
}

# The scripts that pip makes know where they were made, and the directory is moved afterwards: hence one of our own.
install_python_program() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    run_job "${PYTHON_PACKAGE%%==*}" "$STATE/logs/python.log" \
        sh -c 'python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet "$2"' sh "$1" "$PYTHON_PACKAGE"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec "$(dirname "$0")/bin/python" -m %s.cli "$@"\n' "${PYTHON_PACKAGE%%==*}" >"$1/run"
    chmod +x "$1/run"
}
