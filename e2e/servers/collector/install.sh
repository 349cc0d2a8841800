# shellcheck shell=bash disable=SC2154
# OpenTelemetry's Collector (Apache-2.0), which takes in what the operator traces, built from the Go module proxy.

install_collector() {
    local version=$1 home
    home=$(home_of collector "$version")
    in_cache "$home" build_collector "$version"
    link collector "$home/collector"
}

build_collector() {
    local version=$1 folder=$2
    if ! command -v go >/dev/null; then
        fail "the collector $version is built with Go, and there is no \`go\` on the PATH: install Go 1.26 or newer"
    fi
    say "building OpenTelemetry's collector $version, which takes some minutes the first time"
    (cd "$here/collector" && CGO_ENABLED=0 GOGC=400 nice go build -buildvcs=false -trimpath -gcflags=all=-dwarf=false \
        -ldflags '-s -w' -o "$folder/" .)
}
