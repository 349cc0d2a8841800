# shellcheck shell=bash disable=SC2034
# What a node takes of the machine, and so what is to be given back. Sourced, with the cluster's folder as argument, by who
# starts the node and by who cleans up after it.

root=$1
pki="$root/pki"
logs="$root/logs"
node="$root/node"

# The network of pods: its bridge carries the first address, which is node, API server and DNS in one, and where servers listen
# that pods speak to. Another network than those that clusters have by default.
name=paraflow
bridge=paraflow0
network=10.213.77
address=$network.1

# Where control groups are kept: a folder for each controller, or, in their second version, one for all.
if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    control_groups=(/sys/fs/cgroup)
else
    mapfile -t control_groups < <(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs -printf '%h\n')
fi

# What the kubelet sets for the whole machine; it can't be told not to.
readonly KUBELET_SETS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
