# shellcheck shell=bash
# Python programs and libraries that tests and checks need, from the package index, in the versions that
# deploy/tools/NAME/requirements.txt pins. Each has an environment of its own in the cache.

# python_environment VARIABLE NAME: sets the variable to the Python of the environment. Creates it if it is not in the
# cache.
python_environment() {
    local PYTHON_NAME=$2
    fetch_into_cache "$(python_directory)" create_python_environment
    printf -v "$1" '%s' "$CACHE/$(python_directory)/bin/python"
}

# python_program VARIABLE NAME: sets the variable to the path of a program that has the name of its environment.
python_program() {
    local PYTHON_NAME=$2
    fetch_into_cache "$(python_directory)" create_python_environment
    printf -v "$1" '%s' "$CACHE/$(python_directory)/run"
}

python_directory() { echo "python-$PYTHON_NAME-$(digest "$ROOT/deploy/tools/$PYTHON_NAME/requirements.txt")"; }

# pip writes the path of the environment into the scripts of its programs, and the environment is moved afterwards. So a
# program is started with a script that finds its own directory.
create_python_environment() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    run_logged "$PYTHON_NAME" "$STATE/logs/python.log" \
        sh -c 'python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet --requirement "$2"' \
        sh "$1" "$ROOT/deploy/tools/$PYTHON_NAME/requirements.txt"
    # shellcheck disable=SC2016 # The installed script expands it.
    printf '#!/bin/sh\nexec "$(dirname "$0")/bin/python" -m %s.cli "$@"\n' "$PYTHON_NAME" >"$1/run"
    chmod +x "$1/run"
}
