# shellcheck shell=bash
# What is downloaded is kept outside the tree, for every checkout of this user. It gets its name only when it is
# complete and checked, so that a broken-off run leaves nothing that looks usable.

# fetch_into_cache NAME FETCHER: makes $CACHE/NAME with `FETCHER EMPTY_DIRECTORY` unless it is there.
# Runs that need the same thing at the same time wait for each other.
fetch_into_cache() {
    local name=$1 fetcher=$2 lock
    [ ! -d "$CACHE/$name" ] || return 0
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/lock"
    flock -n "$lock" || { echo "  another run is downloading; waiting for it"; flock "$lock"; }
    if [ ! -d "$CACHE/$name" ]; then
        rm -rf "$CACHE/$name.partial"
        mkdir "$CACHE/$name.partial"
        "$fetcher" "$CACHE/$name.partial"
        mv -T "$CACHE/$name.partial" "$CACHE/$name"
    fi
    exec {lock}>&-
}
