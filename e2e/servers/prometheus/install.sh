# shellcheck shell=bash disable=SC2154
# Prometheus and promtool, out of Debian's package, unpacked into the cache: the system is not changed, and nothing of the
# package's own is run. Both are single binaries that need nothing but the C library.

install_prometheus() {
    local version=$1 home
    home=$(home_of prometheus "${version//[^0-9a-z.]/-}")
    in_cache "$home" make_prometheus "$version"
    link prometheus "$home/prometheus"
    link promtool "$home/promtool"
}

make_prometheus() {
    local version=$1 folder=$2
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        fail "Prometheus $version is fetched as a package of Debian, and there is no \`apt-get\` or \`dpkg\` on the PATH"
    fi
    say "fetching Prometheus $version"
    # Lists of packages of our own: those of the system may be missing or old, and are not ours to change.
    mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial"
    local apt=(apt-get -qq -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt" -o APT::Sandbox::User=root)
    "${apt[@]}" update >&2
    (cd "$folder/apt" && "${apt[@]}" download "prometheus=$version" >&2) ||
        fail "Debian has Prometheus $version no more: pin the one that it has, and its checksum, in e2e/servers"
    (cd "$folder/apt" && sha256sum --check --strict --quiet --ignore-missing "$here/prometheus/sha256") >&2
    dpkg -x "$folder"/apt/prometheus_*.deb "$folder/apt/unpacked"
    mv "$folder"/apt/unpacked/usr/bin/{prometheus,promtool} "$folder/"
    rm -rf "$folder/apt"
}
