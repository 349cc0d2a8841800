# shellcheck shell=bash disable=SC2154
# The provider `host`: processes of this machine, without Docker. Sourced by cluster.sh.

kubeconfig="$root/pki/admin.kubeconfig"
# shellcheck source=node.sh
source "$clone/e2e/cluster/node.sh"

# The processes of this cluster, by their ids: those that were told of its folder, and no others.
ours() {
    local process words
    for process in /proc/[0-9]*; do
        if [[ -r "$process/cmdline" && "${process#/proc/}" != "$$" ]]; then
            words=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) || continue
            case "$words" in
            *"/hyperkube "*"$1/"* | *"/hyperkube "*"$1 "* | *"kubernetes/start $1 "* | *"node/start $1 "* | \
                *"/containerd --config $1/"* | *"/containerd-shim"*" $1/"*) printf '%s\n' "${process#/proc/}" ;;
            esac
        fi
    done
}

answers() { [[ -e "$root/ready" ]] && "$clone/.tools/bin/kubectl" --kubeconfig "$kubeconfig" --request-timeout 5s get --raw /readyz >/dev/null 2>&1; }
runs_pods() { [[ -e "$root/node/ready" ]] && "$clone/.tools/bin/kubectl" --kubeconfig "$kubeconfig" wait --for=condition=Ready --timeout=10s node/node >/dev/null 2>&1; }

# Ends what is left of the cluster in a folder, however it ended, and throws its data away.
end_all() {
    local pid pids folder=${1:-$root}
    if [[ -e "$folder/node" ]]; then lock_node; fi
    mapfile -t pids < <(ours "$folder")
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    if [[ -e "$folder/node" ]]; then end_pods "$folder"; fi
    for _ in {1..100}; do
        [[ -z "$(ours "$folder")" ]] && break
        sleep 0.05
    done
    rm -rf --one-file-system "${folder:?}"
}

# Runs a script of the servers until it says that it is ready; ends all when it ends before.
#   start READY_WHEN SCRIPT ARGUMENTS…
start() {
    local ready=$1 started
    shift
    setsid nohup env HYPERKUBE="$clone/.tools/bin/hyperkube" "$@" >>"$root/log" 2>&1 </dev/null 8>&- &
    started=$!
    until "$ready"; do
        if ! kill -0 "$started" 2>/dev/null; then
            cat "$root/log" >&2
            end_all
            return 1
        fi
        sleep 0.2
    done
}

up() {
    local port=${1:-6443} host=127.0.0.1
    [[ -x "$clone/.tools/bin/hyperkube" ]] || fail "Kubernetes is not installed: run e2e/servers/install"
    if answers && { [[ "$nodes" -eq 0 ]] || runs_pods; }; then
        say "it is running"
    elif answers && [[ ! -e "$root/node" ]]; then
        fail "it is running, without a node: e2e/cluster/down first"
    else
        if [[ "$nodes" -gt 0 ]]; then take_node; fi
        end_all
        mkdir -p "$root"
        if [[ "$nodes" -gt 0 ]]; then host=$(make_bridge); fi
        printf '%s\n' "$host" >"$root/address"
        start answers "$clone/e2e/servers/kubernetes/start" "$root" "$host" "$port" ||
            fail "it did not start; is port $port taken?"
        if [[ "$nodes" -gt 0 ]]; then
            unlock_node
            start runs_pods "$clone/e2e/servers/kubernetes/node/start" "$root" || fail "the node did not start"
        fi
        say "it runs at https://$host:$port; e2e/cluster/down ends it"
    fi
    printf '%s\n' "$kubeconfig"
}

down() { end_all; }

logs() {
    [[ -d "$root/logs" ]] || fail "there is no cluster: e2e/cluster/up starts one"
    if [[ $# -gt 0 ]]; then tail -n +1 "$root/logs/$1.log"; else tail -n +1 "$root"/logs/*.log; fi
}

# containerd's own client.
containers() {
    runs_pods || fail "there is no node: e2e/cluster/up --nodes 1 starts one"
    "$clone/.tools/node/usr/bin/ctr" --address "$root/node/c.sock" --namespace k8s.io "$@" >&2
}
load_image() { containers images import "$1"; }
kill_container() { containers tasks kill --signal SIGKILL "$1"; }
