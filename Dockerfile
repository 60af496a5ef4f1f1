# rowhook in a small image: the binary, the certificate authorities of the system, an unprivileged user.
#
#   docker build -t rowhook .
#   docker run --rm -v "$PWD/rules:/rules:ro" -v rowhook-data:/data -e ROWHOOK_MYSQL=mysql://user:password@host:3306 rowhook
#
# Its symbols are kept apart; docs/operations.md says how they are used:
#
#   docker build --target symbols --output . .
#
# Health and metrics listen on the container's own loopback address; see docs/operations.md for reaching them from outside.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Of the caches of this build only the crates are kept, which their checksums guard. A kept /src/target would hold builds that Cargo
# takes for newer than a changed file with an old date, and the image would have the old program.
RUN --mount=type=cache,id=rowhook-cargo-registry,target=/usr/local/cargo/registry,sharing=locked \
    cargo build --release --locked --bin rowhook \
 && mkdir /out \
 && objcopy --only-keep-debug --compress-debug-sections=zlib target/release/rowhook /out/rowhook.debug \
 && objcopy --strip-debug --add-gnu-debuglink=/out/rowhook.debug target/release/rowhook /out/rowhook

FROM scratch AS symbols
COPY --from=build /out/rowhook.debug /

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /out/rowhook /usr/local/bin/rowhook
ENV ROWHOOK_RULES=/rules ROWHOOK_DATA=/data
USER 10001:10001
VOLUME /data
# Over the control socket in ROWHOOK_DATA: without a shell, without curl, also with ROWHOOK_ADMIN=off. A start that reads a large store as a
# whole may take longer than the start period; then the container is unhealthy until it serves.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["rowhook", "status", "--alive"]
# SIGTERM lets requests under way finish, for up to 30 s by default: give `docker stop` more than its own 10 s.
ENTRYPOINT ["rowhook"]
CMD ["run"]
