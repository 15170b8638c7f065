# shellcheck shell=bash
# What the user gets to see. Results go to standard output, faults to standard error; both may be pipes.

# A microsecond clock for measuring how long things take.
now_us() { echo "${EPOCHREALTIME//[!0-9]/}"; }

# seconds_since START_US → "12.3"
seconds_since() {
    local tenths=$(( ($(now_us) - $1) / 100000 ))
    echo "$((tenths / 10)).$((tenths % 10))"
}

# say_part NAME TEXT: one line about one part, names aligned.
say_part() { printf '  %-15s %s\n' "$1" "$2"; }

# die TEXT...: the first line says what is wrong, the others what to do about it.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# last_lines FILE [COUNT]: the end of a log, indented, and where the rest of it is.
last_lines() {
    tail -n "${2:-20}" "$1" 2>/dev/null | sed 's/^/       | /' >&2 || true
    printf '       the whole log: %s\n' "$1" >&2
}
