# shellcheck shell=bash
# The page, query-api/web: built before the services, for it goes into the query API's binary.
# Needs ROOT, STATE, CACHE. What npm downloads is kept in the cache, outside the tree.

WEB=$ROOT/query-api/web

# build_page: only what has changed since the last time.
build_page() {
    require_node
    page_packages_are_current || run_job "page packages" "$STATE/logs/install-page.log" install_page_packages
    page_is_current || run_job page "$STATE/logs/build-page.log" run_page_script build
}

# What the page is built with asks for it.
require_node() {
    local version
    version=$(node --version)
    [ "$(printf '%s\n' v20.19.0 "$version" | sort -V | head -n 1)" = v20.19.0 ] ||
        die "Node is $version, and v20.19.0 or newer is needed to build the page" "Get it from https://nodejs.org"
}

install_page_packages() { cd "$WEB" && npm ci --cache "$CACHE/npm" --no-audit --no-fund; }

run_page_script() { cd "$WEB" && npm run --silent "$@"; }

# npm writes this file at its end.
page_packages_are_current() {
    [ -f "$WEB/node_modules/.package-lock.json" ] &&
        [ ! "$WEB/package-lock.json" -nt "$WEB/node_modules/.package-lock.json" ]
}

page_is_current() {
    local -a sources=("$WEB"/{src,public,scripts,index.html,openapi.json,package-lock.json,vite.config.ts,tsconfig.json})
    # The generated client is made by the build itself.
    [ -f "$WEB/dist/index.html" ] &&
        [ -z "$(find "${sources[@]}" -newer "$WEB/dist/index.html" ! -name schema.d.ts ! -type d -print -quit)" ]
}
