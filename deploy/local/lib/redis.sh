# shellcheck shell=bash
# A Redis with an append-only file that is synced every second. Data is in data/redis. Needs STATE, REDIS_PORT.

# find_redis_server → the path of the program. Debian's package redis-server would also start a system service on the
# port that is wanted here. The package redis-tools contains the same program: redis-server and redis-check-rdb are one
# executable that selects its function by the name it is called with.
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
        # The keys of the services must not be evicted.
        --maxmemory-policy noeviction
    )
}

# Redis answers PONG only after it has loaded the append-only file.
redis_is_ready() { [ "$(timeout 2 redis-cli -h 127.0.0.1 -p "$REDIS_PORT" ping 2>/dev/null)" = PONG ]; }
