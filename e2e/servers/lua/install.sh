# shellcheck shell=bash disable=SC2154
# The Lua that Argo CD judges health with (gopher-lua, MIT), as a program, built from the Go module proxy.

install_lua() {
    local version=$1
    local home="$cache/gopher-lua-$version"
    in_cache "$home" build_go gopher-lua "$version" github.com/yuin/gopher-lua/cmd/glua
    link glua "$home/glua"
}
