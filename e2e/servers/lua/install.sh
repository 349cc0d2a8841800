# shellcheck shell=bash disable=SC2154
# The Lua that Argo CD judges health with (gopher-lua, MIT), as a program, built from the Go module proxy.

install_lua() {
    local version=$1
    local home="$cache/gopher-lua-$version"
    in_cache "$home" build_lua "$version"
    link glua "$home/glua"
}

build_lua() {
    local version=$1 folder=$2
    if ! command -v go >/dev/null; then
        fail "gopher-lua $version is built with Go, and there is no \`go\` on the PATH: install Go 1.24 or newer"
    fi
    say "building gopher-lua $version"
    GOBIN="$folder" CGO_ENABLED=0 nice go install -trimpath -ldflags '-s -w' "github.com/yuin/gopher-lua/cmd/glua@v$version"
}
