# shellcheck shell=bash disable=SC2154
# versitygw (Apache-2.0): an S3 server that checks signatures and honours If-Match and ranges over a plain folder. It is
# built from the Go module proxy, because that works wherever Go does, without Docker.

install_versitygw() {
    local version=$1
    local home="$cache/versitygw-$version"
    in_cache "$home" build_versitygw "$version"
    link versitygw "$home/versitygw"
}

build_versitygw() {
    local version=$1 folder=$2
    if ! command -v go >/dev/null; then
        fail "versitygw $version is built with Go, and there is no \`go\` on the PATH: install Go 1.24 or newer"
    fi
    say "building versitygw $version, which takes some minutes the first time"
    GOBIN="$folder" CGO_ENABLED=0 nice go install -trimpath -ldflags '-s -w' \
        "github.com/versity/versitygw/cmd/versitygw@v$version"
}
