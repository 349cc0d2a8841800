# shellcheck shell=bash disable=SC2154
# Elasticsearch (Elastic License 2.0): the distribution that Elastic publishes for the tests of plugins, from Maven. It is
# the real server with transport and security, without most modules. A plugin of ours gives it what API keys, users and
# failure stores need of those.

# Elasticsearch refuses to run as root; `start` then runs it as this user.
readonly ELASTICSEARCH_USER=paraflow-servers

# Each line of versions runs on its own range of JDKs.
#   install_elasticsearch LINK VERSION FIRST_JDK
install_elasticsearch() {
    local link=$1 version=$2 first_jdk=$3 home jdk
    home=$(home_of elasticsearch "$version")
    jdk=$(find_jdk "Elasticsearch $version" "$first_jdk" 25)
    in_cache "$home" make_elasticsearch "$version" "$first_jdk" "$jdk"
    ln -sfn "$jdk" "$home/jdk"
    if [[ $EUID -eq 0 ]]; then
        make_elasticsearch_user "$jdk"
    fi
    link "$link" "$home/start"
}

make_elasticsearch() {
    local version=$1 release=$2 jdk=$3 folder=$4
    fetch elasticsearch "$version" "$folder/fetched"
    (cd "$folder" && "$jdk/bin/jar" --extract --file "fetched/elasticsearch-$version.zip")
    rm -rf "$folder/fetched"
    mv "$folder/elasticsearch-$version" "$folder/server"
    # `jar` does not keep permissions.
    chmod 755 "$folder"/server/bin/*
    cp "$here/elasticsearch/start" "$here/elasticsearch/jvm.options" "$folder/"
    make_pieces "$version" "$release" "$jdk" "$folder/server"
}

make_pieces() {
    local version=$1 release=$2 jdk=$3 server=$4
    local plugin="$server/plugins/pieces"
    mkdir -p "$plugin/classes"
    "$jdk/bin/javac" --release "$release" -nowarn -cp "$server/lib/*" -d "$plugin/classes" "$here"/elasticsearch/*.java
    mkdir -p "$plugin/classes/META-INF/services"
    echo dev.paraflow.e2e.FailureStores >"$plugin/classes/META-INF/services/org.elasticsearch.features.FeatureSpecification"
    "$jdk/bin/jar" --create --file "$plugin/pieces.jar" -C "$plugin/classes" .
    rm -rf "$plugin/classes"
    cat >"$plugin/plugin-descriptor.properties" <<DESCRIPTOR
name=pieces
description=What the index of API keys and users needs, and failure stores
version=1
classname=dev.paraflow.e2e.Pieces
java.version=$release
elasticsearch.version=$version
DESCRIPTOR
}

make_elasticsearch_user() {
    local jdk=$1
    if ! id "$ELASTICSEARCH_USER" >/dev/null 2>&1; then
        say "making the system user $ELASTICSEARCH_USER, because Elasticsearch refuses to run as root"
        useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$ELASTICSEARCH_USER"
    fi
    if ! setpriv --reuid="$ELASTICSEARCH_USER" --regid="$ELASTICSEARCH_USER" --clear-groups test -x "$jdk/bin/java"; then
        fail "the user $ELASTICSEARCH_USER can't run the JDK at $jdk: set JAVA_HOME to one that everybody can run"
    fi
}
