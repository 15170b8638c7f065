# shellcheck shell=bash
# Messages to the user and time measurement. Results go to standard output, errors to standard error.

# now_us → the time in microseconds.
now_us() { echo "${EPOCHREALTIME//[!0-9]/}"; }

# seconds_since START_US → the elapsed seconds with one decimal, such as "12.3".
seconds_since() {
    local tenths=$(( ($(now_us) - $1) / 100000 ))
    echo "$((tenths / 10)).$((tenths % 10))"
}

# report NAME TEXT: prints one line about one component or step, with the names aligned.
report() { printf '  %-15s %s\n' "$1" "$2"; }

# die TEXT...: prints an error and exits. The first line says what is wrong, the others what to do about it.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# print_log_end FILE [COUNT]: prints the last lines of a log, indented, and the path of the log.
print_log_end() {
    tail -n "${2:-20}" "$1" 2>/dev/null | sed 's/^/       | /' >&2 || true
    printf '       complete log: %s\n' "$1" >&2
}
