# shellcheck shell=bash disable=SC2154
# What a node takes of this machine, taken and given back: one bridge, control groups, settings of the kernel. One node at a
# time, for the bridge's network is the same for all. Sourced by host.sh.

# Who has the node: its lock is held while one is started or ended, and inside is the folder of the cluster that has it.
readonly NODE_OF=/run/paraflow-node

# Nobody else starts or ends a node, until this process is at its end or lets go.
lock_node() {
    if [[ -n "${locked:-}" ]]; then return; fi
    exec 8>>"$NODE_OF"
    flock 8
    locked=yes
}
unlock_node() {
    exec 8>&-
    locked=
}

# Takes the node of this machine for the cluster in `root`, or fails, or waits where it is told to. What a cluster has left
# that was killed is removed. The lock is to be held until processes have the folder in their command lines.
take_node() {
    local holder deadline=$((SECONDS + wait_seconds)) told=
    [[ $EUID -eq 0 ]] || fail "a node needs root: there would have to be control groups, mounts and a bridge"
    [[ -e "$clone/.tools/node" ]] || fail "what runs pods is not installed: run e2e/servers/install"
    while true; do
        lock_node
        holder=$(tail -n 1 "$NODE_OF")
        if [[ -z "$holder" || "$holder" == "$root" || -z "$(ours "$holder")" ]]; then break; fi
        unlock_node
        [[ $SECONDS -lt $deadline ]] ||
            fail "another cluster has the node of this machine; PF_CLUSTER_FOLDER=$holder e2e/cluster/down ends it"
        [[ -n "$told" ]] || say "waiting for the cluster in $holder to end"
        told=yes
        sleep 1
    done
    if [[ -n "$holder" ]]; then
        # Also where somebody has removed its folder by hand.
        end_pods "$holder"
        end_all "$holder"
    fi
    printf '%s\n' "$root" >"$NODE_OF"
}

# Makes the bridge that pods are on, and prints the address of this machine on it.
make_bridge() (
    # shellcheck source=../servers/kubernetes/node/settings.sh
    source "$clone/e2e/servers/kubernetes/node/settings.sh" "$root"
    mkdir -p "$node"
    # The one folder of the kubelet's that it can't be told to have elsewhere.
    if [[ ! -e /var/lib/kubelet ]]; then touch "$node/makes-var-lib-kubelet"; fi
    sysctl -e "${KUBELET_SETS[@]}" >"$node/sysctl"
    if [[ -n "$(ip -4 route show "$network.0/24")" ]]; then fail "the network $network.0/24 is in use on this machine"; fi
    ip link add "$bridge" type bridge
    # Without one of its own it would have that of the first pod, for as long as this one lives.
    ip link set "$bridge" address 02:50:46:00:00:01
    ip address add "$address/24" dev "$bridge"
    ip link set "$bridge" up
    # Services forward between pods; nothing else is.
    echo 1 >"/proc/sys/net/ipv4/conf/$bridge/forwarding"
    printf '%s\n' "$address"
)

# Ends the pods of the cluster in a folder, whose own processes have ended, and gives back what its node took.
end_pods() (
    # Whatever of this is gone already: the rest must go too.
    set +e
    # shellcheck source=../servers/kubernetes/node/settings.sh
    source "$clone/e2e/servers/kubernetes/node/settings.sh" "$1"
    for _ in {1..100}; do
        mapfile -t pids < <(find "${control_groups[@]/%//$name}" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u)
        [[ ${#pids[@]} -gt 0 ]] || break
        kill -KILL "${pids[@]}" 2>/dev/null
        sleep 0.05
    done
    # Shims speak through sockets outside of the folder, and runc keeps what it knows there.
    for file in "$node"/run/io.containerd.runtime.v2.task/k8s.io/*/address; do
        if [[ -e "$file" ]]; then
            rm -f "$(sed 's|^unix://||' "$file")"
            rm -rf "/run/containerd/runc/k8s.io/$(basename "$(dirname "$file")")"
        fi
    done
    awk -v root="$root/" 'index($5, root) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r mounted; do umount -l "$mounted"; done
    for controller in "${control_groups[@]}"; do
        find "$controller/$name" -depth -type d -exec rmdir {} \; 2>/dev/null
    done
    ip link delete "$bridge" 2>/dev/null
    for family in ip ip6; do "$clone/.tools/node/bin/nft" delete table "$family" kube-proxy 2>/dev/null; done
    find /var/log/containers -lname "$root/*" -delete 2>/dev/null
    for file in "/var/lib/cni/results/$name"-*-eth0; do
        id=${file##*/"$name"-}
        rm -f "$file" "/var/lib/cni/results/cni-loopback-${id%-eth0}-lo"
    done
    if [[ -e "$node/makes-var-lib-kubelet" ]]; then rm -rf /var/lib/kubelet; fi
    rmdir --parents --ignore-fail-on-non-empty /run/containerd/{runc/k8s.io,s} /var/lib/cni/results /var/log/containers 2>/dev/null
    if [[ -s "$node/sysctl" ]]; then sysctl -q -p "$node/sysctl"; fi
)
