# shellcheck shell=bash disable=SC2154
# versitygw (Apache-2.0): an S3 server that checks signatures and honours If-Match and ranges over a plain folder. It is
# built from the Go module proxy, because that works wherever Go does, without Docker.

install_versitygw() {
    local version=$1
    local home="$cache/versitygw-$version"
    in_cache "$home" build_go versitygw "$version" github.com/versity/versitygw/cmd/versitygw
    link versitygw "$home/versitygw"
}
