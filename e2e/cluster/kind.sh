# shellcheck shell=bash disable=SC2154
# The provider `kind`: Kubernetes in Docker, as containers of the kind project. Sourced by cluster.sh. It always has a node.

# The release whose node image has the Kubernetes that the provider `host` builds.
readonly KIND=sigs.k8s.io/kind@v0.30.0
readonly NAME=paraflow
kubeconfig="$root/kind.kubeconfig"

# Built when it is asked for; Go keeps it.
kind() { go run "$KIND" "$@"; }

need_docker() { docker info >/dev/null 2>&1 || fail "the provider kind needs Docker, and \`docker info\` fails"; }

up() {
    need_docker
    mkdir -p "$root"
    if kind get clusters 2>/dev/null | grep -qx "$NAME"; then
        say "it is running"
        kind export kubeconfig --name "$NAME" --kubeconfig "$kubeconfig" >&2
    else
        kind create cluster --name "$NAME" --kubeconfig "$kubeconfig" --wait 3m >&2
    fi
    # Where pods find servers that listen on this machine.
    docker network inspect kind --format '{{range .IPAM.Config}}{{.Gateway}}{{"\n"}}{{end}}' | grep -F . | head -n 1 >"$root/address"
    printf '%s\n' "$kubeconfig"
}

down() {
    need_docker
    kind delete cluster --name "$NAME" >&2
    rm -rf "${root:?}"
}

logs() {
    need_docker
    local component=${1:-kubelet}
    if [[ "$component" == kubelet ]]; then
        docker exec "$NAME-control-plane" journalctl --no-pager --unit kubelet
    else
        "$clone/.tools/bin/kubectl" --kubeconfig "$kubeconfig" --namespace kube-system logs "$component-$NAME-control-plane"
    fi
}

load_image() {
    need_docker
    kind load image-archive "$1" --name "$NAME" >&2
}

kill_container() {
    need_docker
    docker exec "$NAME-control-plane" ctr --namespace k8s.io tasks kill --signal SIGKILL "$1"
}
