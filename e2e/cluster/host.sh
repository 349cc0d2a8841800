# shellcheck shell=bash
# The cluster of this machine that `up`, `down` and `logs` care for. Sourced by them.

clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# One for each user, whichever clone it is looked at from. The path must be short: sockets lie in it.
root="${PF_CLUSTER_FOLDER:-${XDG_STATE_HOME:-$HOME/.local/state}/paraflow/cluster}"
kubeconfig="$root/pki/admin.kubeconfig"

say() { printf 'cluster: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# The processes of this cluster, by their ids: those that were told of its folder, and no others.
ours() {
    local process words
    for process in /proc/[0-9]*; do
        if [[ -r "$process/cmdline" && "${process#/proc/}" != "$$" ]]; then
            words=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) || continue
            case "$words" in
            *"/hyperkube "*"$root/"* | *"/hyperkube "*"$root "* | *"kubernetes/start $root "*) printf '%s\n' "${process#/proc/}" ;;
            esac
        fi
    done
}

answers() { [[ -e "$root/ready" ]] && "$clone/.tools/bin/kubectl" --kubeconfig "$kubeconfig" --request-timeout 5s get --raw /readyz >/dev/null 2>&1; }

# Ends what is left of the cluster, however it ended, and throws its data away.
end_all() {
    local pid pids
    mapfile -t pids < <(ours)
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    for _ in {1..100}; do
        [[ -z "$(ours)" ]] && break
        sleep 0.05
    done
    rm -rf "${root:?}"
}
