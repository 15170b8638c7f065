# shellcheck shell=bash
# Programs and libraries that the machine must have. Missing Debian packages are installed. The Rust toolchain is not,
# because there are several ways to install it and the choice is the user's.

# The package of each tool. A tool from any other source is accepted.
declare -A PACKAGE_OF_TOOL=(
    [curl]=curl [cmake]=cmake [make]=make [cc]=gcc [c++]=g++ [pkg-config]=pkg-config
    [java]=default-jre-headless [mvn]=maven [npm]=npm [node]=nodejs
    [redis-cli]=redis-tools [python3]=python3 [wrk]=wrk [openssl]=openssl [chromium]=chromium
    [victoria-metrics]=victoria-metrics [shellcheck]=shellcheck [git]=git [patch]=patch
)
BUILD_TOOLS=(cmake make cc c++ pkg-config)
BUILD_LIBRARIES=(libcurl4-openssl-dev libssl-dev zlib1g-dev)

# install_packages TOOL...: installs these tools and those that the build and the local stores need.
install_packages() {
    local -a tools=("${BUILD_TOOLS[@]}" curl "$@")
    if ! is_external kafka; then
        tools+=(java)
        kafka_is_cached || tools+=(mvn)
    fi
    is_external redis || tools+=(redis-cli)
    is_external clickhouse || chdb_is_cached || tools+=(npm)
    install_tools "${tools[@]}"
    is_external kafka || require_java
    is_external redis || find_redis_server >/dev/null || apt_install redis-server
}

# install_tools TOOL...: installs the packages of missing tools, and missing build libraries if a build tool is wanted.
install_tools() {
    local tool library
    local -a missing=()
    for tool in "$@"; do
        command -v "$tool" >/dev/null || missing+=("${PACKAGE_OF_TOOL[$tool]}")
    done
    if [[ " $* " == *" cc "* ]]; then
        for library in "${BUILD_LIBRARIES[@]}"; do
            has_library "$library" || missing+=("$library")
        done
    fi
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# has_library PACKAGE: on systems without dpkg, pkg-config is asked.
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
    report packages "installing $*"
    apt_update "$@"
    run_logged packages "$STATE/logs/install-packages.log" \
        "${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# apt_update [PACKAGE...]: updates the package lists. The packages are only named in error messages. → AS_ROOT, the
# command that runs others as root.
apt_update() {
    AS_ROOT=()
    command -v apt-get >/dev/null || die "missing: $*" \
        "These are names of Debian packages. Install the equivalent packages of this system."
    if [ "$(id -u)" -ne 0 ]; then
        # sudo can ask for a password only on a terminal. Without one it fails at once, and the command is printed.
        if command -v sudo >/dev/null && { [ -t 0 ] && sudo -v || sudo -n true; } 2>/dev/null; then
            AS_ROOT=(sudo -n)
        else
            die "missing: $*" "Install them: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        fi
    fi
    run_logged "package lists" "$STATE/logs/install-packages.log" "${AS_ROOT[@]}" apt-get update
}

require_java() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ] ||
        die "Java is ${version:-of an unknown version}; Kafka needs 17 or newer" \
            "Install openjdk-17-jre-headless or newer, or name a Kafka: KAFKA_BROKERS=host:port"
}

# require_rust: the workspace states the oldest toolchain that builds it.
require_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
    command -v cargo >/dev/null || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH=$HOME/.cargo/bin:$PATH
    found=$(cargo --version 2>/dev/null | awk '{ print $2 }' || true)
    [ -n "$found" ] || die "the Rust toolchain is missing" \
        "Get it from https://rustup.rs: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y" \
        "then run this again."
    [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
        die "cargo is $found; $wanted or newer is needed" "Update it: rustup update stable (https://rustup.rs)"
}
