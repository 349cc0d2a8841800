# shellcheck shell=bash disable=SC2154
# OpenSearch (Apache-2.0): the real server as a library, from Maven, run by OpenSearch.java.

# Each line of versions runs on its own range of JDKs.
#   install_opensearch LINK VERSION FIRST_JDK
install_opensearch() {
    local link=$1 version=$2 first_jdk=$3 home jdk
    home=$(home_of opensearch "$version")
    jdk=$(find_jdk "OpenSearch $version" "$first_jdk" 25)
    in_cache "$home" make_opensearch "$version" "$first_jdk" "$jdk"
    ln -sfn "$jdk" "$home/jdk"
    link "$link" "$home/start"
}

make_opensearch() {
    local version=$1 release=$2 jdk=$3 folder=$4
    fetch opensearch "$version" "$folder/lib"
    mkdir "$folder/classes"
    "$jdk/bin/javac" --release "$release" -nowarn -cp "$folder/lib/*" -d "$folder/classes" "$here/opensearch/OpenSearch.java"
    "$jdk/bin/jar" --create --file "$folder/lib/main.jar" -C "$folder/classes" .
    rm -rf "$folder/classes"
    cp "$here/opensearch/start" "$folder/"
}
