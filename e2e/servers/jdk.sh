# shellcheck shell=bash disable=SC2154
# Finds a Java development kit on this machine. Sourced by `install`.

# Where kits may lie, likeliest first: what this shell was told to use, then where systems and people put them.
jdk_candidates() {
    local java home
    if [[ -n "${JAVA_HOME:-}" ]]; then
        printf '%s\n' "$JAVA_HOME"
    fi
    if java=$(command -v java); then
        dirname "$(dirname "$(readlink -f "$java")")"
    fi
    for home in /usr/lib/jvm/* /usr/java/* /usr/local/openjdk* /opt/java/* /opt/jdk* \
        "$HOME"/.sdkman/candidates/java/* "$HOME"/.jdks/*; do
        printf '%s\n' "$home"
    done
}

# The feature release of a kit, as 17; nothing where there is none.
#   jdk_release HOME
jdk_release() {
    if [[ -x "$1/bin/javac" && -r "$1/release" ]]; then
        sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release"
    fi
}

# The home of the first kit whose feature release is in a range.
#   find_jdk WHO_NEEDS_IT FROM TO
find_jdk() {
    local home release
    while read -r home; do
        release=$(jdk_release "$home")
        if [[ -n "$release" && "$release" -ge $2 && "$release" -le $3 ]]; then
            readlink -f "$home"
            return
        fi
    done < <(jdk_candidates)
    fail "$1 needs a JDK of release $2 to $3, and there is none in JAVA_HOME, on the PATH or where systems put them" \
        "(/usr/lib/jvm, /opt/java, ~/.sdkman): install one, or set JAVA_HOME"
}
