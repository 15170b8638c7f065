# shellcheck shell=bash
# The web page in query-api/web. It is compiled into the query API, so it is built first. npm's downloads are kept in
# the cache. Needs ROOT, STATE, CACHE.

WEB=$ROOT/query-api/web

# build_page: installs the packages and builds the page if their sources have changed.
build_page() {
    require_node
    install_page_packages
    page_is_up_to_date || run_logged page "$STATE/logs/build-page.log" run_page_script build
}

# The page's build tools need this version.
require_node() {
    local version
    version=$(node --version)
    [ "$(printf '%s\n' v20.19.0 "$version" | sort -V | head -n 1)" = v20.19.0 ] ||
        die "Node is $version; building the page needs v20.19.0 or newer" "Get it from https://nodejs.org"
}

install_page_packages() {
    page_packages_are_up_to_date || run_logged "page packages" "$STATE/logs/install-page.log" run_npm_ci
}

run_npm_ci() ( cd "$WEB" && npm ci --cache "$CACHE/npm" --no-audit --no-fund )

run_page_script() ( cd "$WEB" && npm run --silent "$@" )

# npm writes node_modules/.package-lock.json as its last step.
page_packages_are_up_to_date() {
    [ -f "$WEB/node_modules/.package-lock.json" ] &&
        [ ! "$WEB/package-lock.json" -nt "$WEB/node_modules/.package-lock.json" ]
}

page_is_up_to_date() {
    local -a sources=("$WEB"/{src,public,scripts,index.html,openapi.json,package-lock.json,vite.config.ts,tsconfig.json})
    # schema.d.ts is excluded because the build generates it.
    [ -f "$WEB/dist/index.html" ] &&
        [ -z "$(find "${sources[@]}" -newer "$WEB/dist/index.html" ! -name schema.d.ts ! -type d -print -quit)" ]
}
