# shellcheck shell=bash disable=SC2154
# What runs pods, from Debian's packages: containerd, runc, the bridge of CNI and nft. They are unpacked into the cache and run
# from there; nothing is installed into the system. Where there is no apt, there are no pods, and what needs them fails.

# Packages, with those libraries of nft that not every machine has.
readonly NODE_PACKAGES=(
    containerd runc containernetworking-plugins
    nftables libnftables1 libnftnl11 libxtables12 libjansson4
)
readonly PAUSE_IMAGE=paraflow.local/pause:1

install_node() {
    local home hash system
    if ! command -v apt-get >/dev/null; then
        say "pods can't be run here: containerd and runc come from Debian's packages, and there is no apt-get"
        rm -f "$links/kubernetes-node"
        return
    fi
    # shellcheck source=/dev/null
    system=$(. /etc/os-release && printf '%s%s' "$ID" "${VERSION_ID:-}")
    hash=$(cat "$here/kubernetes/node/install.sh" "$here/kubernetes/pause/main.go" "$here/../images/pack" | sha256sum | cut -c1-12)
    home="$cache/node-$system-$hash"
    in_cache "$home" make_node
    ln -sfn "$home" "$links/../node"
    link kubernetes-node "$here/kubernetes/node/start"
}

make_node() {
    local folder=$1 package
    say "fetching ${NODE_PACKAGES[*]}"
    if ! (cd "$folder" && apt-get -qq download "${NODE_PACKAGES[@]}" >&2); then
        fail "apt-get can't download them: does \`apt-get update\` help?"
    fi
    for package in "$folder"/*.deb; do
        dpkg -x "$package" "$folder"
        rm "$package"
    done
    # nft alone needs libraries from beside it.
    mkdir "$folder/bin"
    printf '#!/bin/sh\nhome=$(dirname "$(dirname "$(readlink -f "$0")")")\nLD_LIBRARY_PATH=$(echo "$home"/usr/lib/*-linux-gnu) exec "$home/usr/sbin/nft" "$@"\n' >"$folder/bin/nft"
    chmod 755 "$folder/bin/nft"
    mkdir "$folder/pause"
    (cd "$here/kubernetes" && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w' -o "$folder/pause/pause" ./pause)
    "$here/../images/pack" --root "$folder/pause" --name "$PAUSE_IMAGE" --entrypoint /pause --user 65535:65535 "$folder/pause.tar"
}
