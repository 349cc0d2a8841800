# shellcheck shell=bash disable=SC2154
# Folders of the cache, which are there whole or not at all, and what is fetched into them. Sourced by `install`, whose
# variables `here`, `cache` and `links` it uses.

say() { printf 'servers: %s\n' "$*" >&2; }

# Says why it can't go on, and ends.
fail() {
    say "$*"
    exit 1
}

# Makes a folder of the cache, unless it is there: runs a command with a new folder as its last argument, and moves that
# to its place when the command has done its work, so that an interrupted one leaves nothing half made.
#   in_cache HOME COMMAND ARGUMENTS…
in_cache() {
    local home=$1
    shift
    if [[ -d "$home" ]]; then
        return
    fi
    local making
    making=$(mktemp -d "$cache/.$(basename "$home").XXXXXX")
    # shellcheck disable=SC2064  # the folder's name must be the one of now
    trap "rm -rf '$making'" EXIT
    "$@" "$making"
    chmod 755 "$making"
    mv "$making" "$home"
    trap - EXIT
}

# The folder of a server's version, made as its folder here says now.
#   home_of NAME VERSION
home_of() {
    local hash
    hash=$(cd "$here/$1" && find . -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-12)
    printf '%s/%s-%s-%s\n' "$cache" "$1" "$2" "$hash"
}

# Fetches the files that a server's POM names, and checks that they are exactly those that the version's list of checksums
# has.
#   fetch NAME VERSION FOLDER
fetch() {
    local name=$1 version=$2 folder=$3
    local recipe="$here/$name" list="$here/$name/$version.sha256"
    if ! command -v mvn >/dev/null; then
        fail "$name $version is fetched with Maven, and there is no \`mvn\` on the PATH: install Maven"
    fi
    say "fetching $name $version"
    mvn --quiet --batch-mode -Dstyle.color=never --file "$recipe/pom.xml" -Dserver.version="$version" \
        dependency:copy-dependencies -DoutputDirectory="$folder" -DincludeScope=runtime >&2
    (cd "$folder" && sha256sum --check --strict --quiet "$list") >&2
    if [[ $(find "$folder" -type f | wc -l) -ne $(wc -l <"$list") ]]; then
        fail "$name $version came with files that its list of checksums does not have"
    fi
}

# Builds a program of the Go module proxy.
#   build_go NAME VERSION PACKAGE FOLDER
build_go() {
    local name=$1 version=$2 package=$3 folder=$4
    if ! command -v go >/dev/null; then
        fail "$name $version is built with Go, and there is no \`go\` on the PATH: install Go 1.24 or newer"
    fi
    say "building $name $version, which may take some minutes the first time"
    GOBIN="$folder" CGO_ENABLED=0 nice go install -trimpath -ldflags '-s -w' "$package@v$version"
}

# Links the program that starts a server.
#   link NAME PROGRAM
link() {
    ln -sfn "$2" "$links/$1"
    say "$1 is ready"
}
