# shellcheck shell=bash
# Downloads and built tools are cached outside the work tree and shared by all checkouts of this user. An entry gets its
# final name only when it is complete and verified, so an interrupted run leaves nothing that looks usable.

# fetch_into_cache NAME FETCHER: creates $CACHE/NAME with `FETCHER EMPTY_DIRECTORY` unless it exists. Concurrent runs
# wait for each other.
fetch_into_cache() {
    local name=$1 fetcher=$2 lock
    [ ! -d "$CACHE/$name" ] || return 0
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/lock"
    flock -n "$lock" || { echo "  waiting for another run that is filling the cache"; flock "$lock"; }
    if [ ! -d "$CACHE/$name" ]; then
        rm -rf "$CACHE/$name.partial"
        mkdir "$CACHE/$name.partial"
        "$fetcher" "$CACHE/$name.partial"
        mv -T "$CACHE/$name.partial" "$CACHE/$name"
    fi
    exec {lock}>&-
}

# digest FILE → a part of the file's digest, for the name of a cache entry that depends on the file.
digest() { sha256sum "$1" | cut -c1-8; }
