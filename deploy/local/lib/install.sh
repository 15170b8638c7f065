# shellcheck shell=bash
# What the machine must have. Debian packages are installed when something of them is missing; the Rust toolchain is
# only named, for how it gets onto a machine is its owner's choice.

# The tool that proves a package to be there, and the package. A tool counts wherever it comes from.
declare -A PACKAGE_OF_TOOL=(
    [curl]=curl [cmake]=cmake [make]=make [cc]=gcc [c++]=g++ [pkg-config]=pkg-config
    [java]=default-jre-headless [mvn]=maven [npm]=npm [node]=nodejs
    [redis-cli]=redis-tools [python3]=python3 [wrk]=wrk [openssl]=openssl [chromium]=chromium
    [victoria-metrics]=victoria-metrics
)
BUILD_TOOLS=(cmake make cc c++ pkg-config)
BUILD_LIBRARIES=(libcurl4-openssl-dev libssl-dev zlib1g-dev)

# install_packages TOOL...: those and what the build and the local stores need.
install_packages() {
    local tool library
    local -a tools=(curl "${BUILD_TOOLS[@]}" "$@") missing=()
    if ! is_external kafka; then
        tools+=(java)
        kafka_is_cached || tools+=(mvn)
    fi
    is_external redis || tools+=(redis-cli)
    is_external clickhouse || chdb_is_cached || tools+=(npm)
    for tool in "${tools[@]}"; do
        command -v "$tool" >/dev/null || missing+=("${PACKAGE_OF_TOOL[$tool]}")
    done
    for library in "${BUILD_LIBRARIES[@]}"; do
        has_library "$library" || missing+=("$library")
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
    is_external kafka || require_java
    is_external redis || find_redis_server >/dev/null || apt_install redis-server
}

# Where there is no dpkg, pkg-config must know the library.
has_library() {
    if command -v dpkg-query >/dev/null; then
        [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == *" installed" ]]
    else
        case $1 in
            libcurl4-openssl-dev) pkg-config --exists libcurl ;;
            libssl-dev) pkg-config --exists openssl ;;
            zlib1g-dev) pkg-config --exists zlib ;;
        esac
    fi
}

apt_install() {
    local -a as_root=()
    command -v apt-get >/dev/null || die "missing here: $*" \
        "These are names of Debian packages; install what they are called on this system."
    if [ "$(id -u)" -ne 0 ]; then
        # Asking for a password would need a terminal; without one it fails at once and the line to type is shown.
        if command -v sudo >/dev/null && { [ -t 0 ] && sudo -v || sudo -n true; } 2>/dev/null; then
            as_root=(sudo -n)
        else
            die "missing here: $*" "Install them: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        fi
    fi
    say_part packages "installing $*"
    run_job "package lists" "$STATE/logs/install-packages.log" "${as_root[@]}" apt-get update
    run_job packages "$STATE/logs/install-packages.log" \
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

require_java() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ] ||
        die "Kafka needs Java 17 or newer, and this is ${version:-unknown}" "Install openjdk-17-jre-headless or newer, or name a Kafka: KAFKA_BROKERS=host:port"
}

# The oldest toolchain that builds this is what the workspace says.
require_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
    command -v cargo >/dev/null || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH=$HOME/.cargo/bin:$PATH
    found=$(cargo --version 2>/dev/null | awk '{ print $2 }' || true)
    [ -n "$found" ] || die "the Rust toolchain is missing" \
        "Get it from https://rustup.rs: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y" \
        "then run this again."
    [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
        die "cargo is $found, and $wanted or newer is needed" "Update it: rustup update stable (https://rustup.rs)"
}
