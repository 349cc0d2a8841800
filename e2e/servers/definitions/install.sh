# shellcheck shell=bash disable=SC2154
# Definitions of others' resources that our charts and examples are written in: without them an API server would take
# anything. They are files of the Go modules that they are made in, and come from the Go module proxy.

install_definitions() {
    local home
    home=$(home_of definitions 1)
    in_cache "$home" make_definitions
    link definitions "$home"
}

make_definitions() {
    local folder=$1 module sum files
    if ! command -v go >/dev/null; then
        fail "definitions of others come from the Go module proxy, and there is no \`go\` on the PATH: install Go 1.26 or newer"
    fi
    say "fetching the definitions of Prometheus' operator, Argo CD and Flux"
    while read -r module sum files; do
        [[ "$module" == \#* ]] || take_definitions "$module" "$sum" "$files" "$folder"
    done <"$here/definitions/modules"
    rm -rf "$folder/modules"
}

# Takes files out of a module, if that is the one that was looked at.
take_definitions() {
    local module=$1 sum=$2 files=$3 folder=$4 told file
    told=$(GOMODCACHE="$folder/modules" GOFLAGS=-modcacherw go mod download -json "$module")
    if [[ "$told" != *"\"Sum\": \"$sum\""* ]]; then
        fail "$module is not the one that was looked at: $told"
    fi
    for file in ${files//,/ }; do
        cp "$folder/modules/$module/$file" "$folder/"
    done
}
