# shellcheck shell=bash
# Everything in this directory, in the order in which it builds on itself.

[ "$(uname -s)" = Linux ] || { echo "error: this runs on Linux" >&2; exit 1; }

for library in say job settings ports process cache kafka redis clickhouse web services parts install demo; do
    # shellcheck disable=SC1090
    . "$(dirname "${BASH_SOURCE[0]}")/$library.sh"
done
unset library

# hold_the_lock: one script at a time changes what runs. The parts that it starts do not inherit the descriptor.
hold_the_lock() {
    mkdir -p "$STATE"
    exec {LOCK}>"$STATE/lock"
    flock -n "$LOCK" || die "another up or down is at work on $STATE"
}
