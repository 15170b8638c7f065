# shellcheck shell=bash
# A Redis of our own. Needs STATE, REDIS_PORT. Data in data/redis, an append-only file synced every second.

# Debian's package redis-server would also start a server of the machine's own, on the very port that we want. The
# program is in redis-tools: redis-server and redis-check-rdb are one file, which goes by the name it is called by.
find_redis_server() {
    command -v redis-server && return 0
    local link=$CACHE/bin/redis-server checker
    checker=$(command -v redis-check-rdb) || return 1
    mkdir -p "${link%/*}"
    ln -sfn "$checker" "$link"
    "$link" --version >/dev/null 2>&1 && echo "$link"
}

prepare_redis() { mkdir -p "$STATE/data/redis"; }

command_of_redis() {
    PROGRAM=$(find_redis_server) || die "redis-server is missing"
    COMMAND=(
        "$PROGRAM" --bind 127.0.0.1 --port "$REDIS_PORT" --dir "$STATE/data/redis" --daemonize no
        --appendonly yes --appendfsync everysec --save ''
        # What the services keep there is nobody's to evict.
        --maxmemory-policy noeviction
    )
}

# PONG only once the append-only file is loaded.
redis_is_ready() { [ "$(timeout 2 redis-cli -h 127.0.0.1 -p "$REDIS_PORT" ping 2>/dev/null)" = PONG ]; }
