# The image of Paraflow, one for all: pf-operator, pf-discoverer, pf-worker and pf-transform where it is there.
#
#   docker build --tag paraflow:0.1.0 .
#
# e2e/images/pack lays out its files, here as in tests, which make the same image without Docker.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3
WORKDIR /paraflow
COPY . .
# What was downloaded and built stays for the next image.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/paraflow/target \
    cargo build --locked --profile release-max --workspace --bins && \
    e2e/images/pack --layer /layer.tar $(find target/release-max -maxdepth 1 -type f -executable -name 'pf-*')
RUN mkdir /image && tar -xf /layer.tar -C /image

# The programs, the libraries that they need, authorities to trust, a user, and nothing that could be run besides.
FROM scratch
COPY --from=build /image/ /
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
