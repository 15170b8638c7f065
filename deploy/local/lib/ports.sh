# shellcheck shell=bash
# Finds listening ports in /proc, so that no tool is needed that a small machine may lack.

# listening_inode PORT → the inode of a socket with which a listener on 127.0.0.1:PORT would conflict; nothing if the
# port is free.
listening_inode() {
    # Columns: 2 is the local address in hexadecimal, 4 the state (0A is LISTEN), 10 the inode. The addresses are
    # loopback and the wildcards, for IPv4 and IPv6.
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf '%04X' "$1")" '
        $4 == "0A" && split($2, at, ":") == 2 && at[2] == port &&
        at[1] ~ /^(0100007F|00000000|00000000000000000000000000000000|0000000000000000FFFF00000100007F)$/ { print $10; exit }'
}

# socket_owner INODE → "redis-server (pid 123)"; nothing if the process belongs to another user.
socket_owner() {
    local fd pid
    fd=$(find /proc/[0-9]*/fd -lname "socket:\[$1\]" -print -quit 2>/dev/null || true)
    pid=${fd#/proc/}
    pid=${pid%%/*}
    [ -z "$pid" ] || echo "$(cat "/proc/$pid/comm" 2>/dev/null || echo a process) (pid $pid)"
}

# require_free_port COMPONENT SETTING PORT: fails if something else listens on the port.
require_free_port() {
    local inode owner
    inode=$(listening_inode "$3")
    [ -n "$inode" ] || return 0
    owner=$(socket_owner "$inode")
    die "port $3 of $1 is in use by ${owner:-a process of another user}" \
        "Stop that process or use another port: $2=$(free_port $(($3 + 1))) deploy/local/up"
}

# free_port FIRST → the first free port that is not below FIRST.
free_port() {
    local port=$1
    while [ -n "$(listening_inode "$port")" ]; do port=$((port + 1)); done
    echo "$port"
}
