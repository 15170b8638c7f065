# shellcheck shell=bash
# Loads every file of this directory but scratch.sh and phases.sh, in the order of their dependencies.

[ "$(uname -s)" = Linux ] || { echo "error: these scripts run on Linux only" >&2; exit 1; }

for library in output jobs settings ports process cache kafka redis clickhouse web services components install \
    go python rust demo; do
    # shellcheck disable=SC1090
    . "$(dirname "${BASH_SOURCE[0]}")/$library.sh"
done
unset library

# acquire_lock: prevents another `up` or `down` from running on the same state directory. The components that are
# started do not inherit the descriptor.
acquire_lock() {
    mkdir -p "$STATE"
    exec {LOCK}>"$STATE/lock"
    flock -n "$LOCK" || die "another up or down is running on $STATE"
}
