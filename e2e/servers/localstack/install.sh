# shellcheck shell=bash disable=SC2154
# LocalStack (Apache-2.0): S3 and SQS by another hand than versitygw's and ElasticMQ's, and notifications from the one to the
# other. From PyPI, wheels only, exactly those that requirements.txt has.

install_localstack() {
    local version=$1 home interpreter
    if ! interpreter=$(python3 -c 'import sys; print(sys.executable, sys.version)'); then
        fail "LocalStack $version runs with Python, and there is no \`python3\` on the PATH: install Python 3.10 or newer"
    fi
    # Another Python needs another virtual environment.
    home="$(home_of localstack "$version")-$(sha256sum <<<"$interpreter" | cut -c1-8)"
    in_cache "$home" make_localstack "$version"
    link localstack "$home/start"
}

make_localstack() {
    local version=$1 folder=$2
    say "fetching localstack $version"
    python3 -m venv "$folder/venv"
    # All is pinned, so nothing is to be resolved; what is imported at all is compiled at the first start.
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --no-compile --requirement "$here/localstack/requirements.txt" >&2
    cp "$here/localstack/start" "$folder/"
}
