# shellcheck shell=bash
# What `up`, `down` and their like share: options, and the provider that they ask for. Sourced by them, with their arguments.
# A provider is a file beside this one with the functions up, down, logs, load_image and kill_container.

clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# One for each user, whichever clone it is looked at from. The path must be short: sockets lie in it.
root="${PF_CLUSTER_FOLDER:-${XDG_STATE_HOME:-$HOME/.local/state}/paraflow/cluster}"
provider="${PF_CLUSTER_PROVIDER:-host}"
nodes="${PF_CLUSTER_NODES:-0}"
wait_seconds=0
# What is neither option nor value of one.
words=()

say() { printf 'cluster: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Shows the comment at the top of a script.
usage() {
    sed -n '2,/^[^#]/ { s/^# \{0,1\}//p; }' "$0"
    exit 0
}

while [[ $# -gt 0 ]]; do
    case "$1" in
    --help | -h) usage ;;
    --provider | --nodes | --wait)
        [[ $# -gt 1 ]] || fail "$1 needs a value; --help tells more"
        case "$1" in
        --provider) provider=$2 ;;
        --nodes) nodes=$2 ;;
        --wait) wait_seconds=$2 ;;
        esac
        shift 2
        ;;
    -*) fail "there is no option $1; --help shows those that there are" ;;
    *)
        words+=("$1")
        shift
        ;;
    esac
done
[[ "$provider" == host || "$provider" == kind ]] || fail "there is no provider $provider, only host and kind"
[[ "$nodes" =~ ^[01]$ ]] || fail "--nodes must be 0 or 1, not $nodes"
[[ "$wait_seconds" =~ ^[0-9]+$ ]] || fail "--wait must be a number of seconds, not $wait_seconds"

# shellcheck source=host.sh
source "$clone/e2e/cluster/$provider.sh"
