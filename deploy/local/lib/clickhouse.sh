# shellcheck shell=bash
# The ClickHouse engine as a library, behind the HTTP server clickhouse-embedded. Data is in data/clickhouse.
# Needs STATE, CLICKHOUSE_PORT, CLICKHOUSE_URL, LIBCHDB.

CHDB_VERSION=26.7.3-stable.1
CHDB_CACHE=chdb-$CHDB_VERSION
# The npm package with the library for each tested machine type, and the SHA-512 of that package.
declare -A CHDB_PACKAGE=([x86_64]=@chdb/lib-linux-x64-gnu)
declare -A CHDB_SHA512=(
    [x86_64]=5cff7b98caa7739b59a4a432c11f0dedc2d3b073624e61ebdf4a42e66ce8de35a6ba48ca9f62016bad1cd81fe059435cb858ce3235a8a2b408082a81563e70a7
)
# The user may name another library.
LIBCHDB=${LIBCHDB:-$CACHE/$CHDB_CACHE/libchdb.so}

chdb_is_cached() { [ -f "$LIBCHDB" ]; }

install_chdb() {
    chdb_is_cached && return 0
    [ "$LIBCHDB" = "$CACHE/$CHDB_CACHE/libchdb.so" ] || die "LIBCHDB is $LIBCHDB, which does not exist"
    [ -n "${CHDB_PACKAGE[$(uname -m)]:-}" ] || die "there is no package of libchdb $CHDB_VERSION for $(uname -m)" \
        "Name a library (LIBCHDB=/path/to/libchdb.so) or a ClickHouse server (CLICKHOUSE_URL=http://…)."
    fetch_into_cache "$CHDB_CACHE" fetch_chdb
}

fetch_chdb() {
    run_logged "libchdb ${CHDB_VERSION%%-*}" "$STATE/logs/install-chdb.log" \
        unpack_chdb "$1" "${CHDB_PACKAGE[$(uname -m)]}@$CHDB_VERSION" "${CHDB_SHA512[$(uname -m)]}"
}

# unpack_chdb DIRECTORY PACKAGE SHA512: puts only the library into the directory.
unpack_chdb() {
    local into=$1 package=$2 sha512=$3
    # A separate npm cache, because npm would keep a second copy of the package for ever.
    echo "downloading $package (178 MB)" &&
        (cd "$into" && npm pack --silent --cache "$into/npm" "$package") &&
        mv "$into"/*.tgz "$into/packed" &&
        echo "verifying $package" &&
        echo "$sha512  $into/packed" | sha512sum --check --quiet --strict &&
        echo "unpacking $package (566 MB)" &&
        tar -xzf "$into/packed" -C "$into" --strip-components=1 package/libchdb.so &&
        rm -rf "$into/packed" "$into/npm"
}

prepare_clickhouse() { mkdir -p "$STATE/data/clickhouse"; }

command_of_clickhouse() {
    PROGRAM=$BIN/clickhouse-embedded
    COMMAND=(
        "$PROGRAM" --listen "127.0.0.1:$CLICKHOUSE_PORT" --library "$LIBCHDB" --path "$STATE/data/clickhouse"
    )
}

clickhouse_is_ready() { curl -fsS -m 2 -o /dev/null "$CLICKHOUSE_URL/ping"; }
