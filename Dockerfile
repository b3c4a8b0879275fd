# windrow in a container.
#
#   docker build -t windrow .
#   docker run --rm -it -v "$PWD:/data" --user "$(id -u):$(id -g)" windrow demo
#
# The build takes what a release build takes (README.md). `--user` makes you the owner of what is written.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
# The authorities that TLS connections to object stores and PostgreSQL are verified against.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/windrow /usr/local/bin/windrow
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["windrow"]
CMD ["--help"]
