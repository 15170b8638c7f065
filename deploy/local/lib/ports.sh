# shellcheck shell=bash
# Who listens where, read from /proc: no tool that a small machine may lack.

# listening_inode PORT → the socket that a listener on 127.0.0.1:PORT would collide with, nothing when the port is free.
listening_inode() {
    # Columns: 2 local address in hex, 4 state (0A is LISTEN), 10 inode. Loopback and the wildcards, IPv4 and IPv6.
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf '%04X' "$1")" '
        $4 == "0A" && split($2, at, ":") == 2 && at[2] == port &&
        at[1] ~ /^(0100007F|00000000|00000000000000000000000000000000|0000000000000000FFFF00000100007F)$/ { print $10; exit }'
}

# holder_of_inode INODE → "redis-server (pid 123)", nothing when it is another user's.
holder_of_inode() {
    local fd pid
    fd=$(find /proc/[0-9]*/fd -lname "socket:\[$1\]" -print -quit 2>/dev/null || true)
    pid=${fd#/proc/}
    pid=${pid%%/*}
    [ -z "$pid" ] || echo "$(cat "/proc/$pid/comm" 2>/dev/null || echo a process) (pid $pid)"
}

# refuse_a_taken_port PART SETTING PORT
refuse_a_taken_port() {
    local inode holder
    inode=$(listening_inode "$3")
    [ -n "$inode" ] || return 0
    holder=$(holder_of_inode "$inode")
    die "port $3, which $1 needs, is taken by ${holder:-a process of another user}" \
        "Stop that, or move $1: $2=$(free_port $(($3 + 1))) deploy/local/up"
}

# free_port FIRST → the first free port from there on.
free_port() {
    local port=$1
    while [ -n "$(listening_inode "$port")" ]; do port=$((port + 1)); done
    echo "$port"
}
