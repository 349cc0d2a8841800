# shellcheck shell=bash disable=SC2154
# OpenSearch (Apache-2.0): the real server as a library, from Maven, run by OpenSearch.java.

install_opensearch() {
    local version=$1 home jdk
    home=$(home_of opensearch "$version")
    jdk=$(find_jdk "OpenSearch $version" 21 25)
    in_cache "$home" make_opensearch "$version" "$jdk"
    ln -sfn "$jdk" "$home/jdk"
    link opensearch "$home/start"
}

make_opensearch() {
    local version=$1 jdk=$2 folder=$3
    fetch opensearch "$version" "$folder/lib"
    mkdir "$folder/classes"
    "$jdk/bin/javac" --release 21 -nowarn -cp "$folder/lib/*" -d "$folder/classes" "$here/opensearch/OpenSearch.java"
    "$jdk/bin/jar" --create --file "$folder/lib/main.jar" -C "$folder/classes" .
    rm -rf "$folder/classes"
    cp "$here/opensearch/start" "$folder/"
}
