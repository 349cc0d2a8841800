# shellcheck shell=bash disable=SC2154
# A whole Kubernetes in one binary, and helm, built from the Go module proxy: no Docker, no downloads but Go's. Kept by the
# hash of what they are built from alone, because the build takes minutes; the script that starts them stays in the clone.

install_kubernetes() {
    local kubernetes=$1 helm=$2 home hash
    hash=$(cd "$here/kubernetes" && cat go.mod go.sum hyperkube/*.go install.sh | sha256sum | cut -c1-12)
    home="$cache/kubernetes-$kubernetes-$hash"
    in_cache "$home" build_kubernetes "$kubernetes" "$helm"
    link hyperkube "$home/hyperkube"
    link kubectl "$home/kubectl"
    link helm "$home/helm"
    link kubernetes "$here/kubernetes/start"
}

build_kubernetes() {
    local kubernetes=$1 helm=$2 folder=$3
    if ! command -v go >/dev/null; then
        fail "Kubernetes $kubernetes is built with Go, and there is no \`go\` on the PATH: install Go 1.26 or newer"
    fi
    say "building Kubernetes $kubernetes and helm $helm, which takes some minutes the first time"
    local version=k8s.io/component-base/version
    local flags="-s -w -X $version.gitMajor=1 -X $version.gitMinor=${kubernetes#1.}"
    flags="${flags%.*} -X $version.gitVersion=v$kubernetes -X $version.gitTreeState=clean -X $version.gitCommit=module"
    flags="$flags -X $version.buildDate=1970-01-01T00:00:00Z -X helm.sh/helm/v3/internal/version.version=v$helm"
    # What helm takes a cluster for that it can't ask.
    local helm_takes=helm.sh/helm/v3/pkg/chartutil minor=${kubernetes#1.}
    flags="$flags -X $helm_takes.k8sVersionMajor=1 -X $helm_takes.k8sVersionMinor=${minor%.*}"
    flags="$flags -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=${minor%.*}"
    # Without debug information the build takes a third less time; with a lazier garbage collector another tenth.
    (cd "$here/kubernetes" && CGO_ENABLED=0 GOGC=400 nice go build -buildvcs=false -trimpath -gcflags=all=-dwarf=false \
        -ldflags "$flags" -o "$folder/" ./hyperkube helm.sh/helm/v3/cmd/helm)
    ln -s hyperkube "$folder/kubectl"
}
