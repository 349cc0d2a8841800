# shellcheck shell=bash disable=SC2154
# ElasticMQ (Apache-2.0): an SQS server on the JVM, from Maven.

install_elasticmq() {
    local version=$1 home jdk
    home=$(home_of elasticmq "$version")
    jdk=$(find_jdk "ElasticMQ $version" 17 25)
    in_cache "$home" make_elasticmq "$version"
    ln -sfn "$jdk" "$home/jdk"
    link elasticmq "$home/start"
}

make_elasticmq() {
    local version=$1 folder=$2
    fetch elasticmq "$version" "$folder/lib"
    cp "$here/elasticmq/start" "$folder/"
}
