# The operator's image: one binary on a distroless base, non-root, nothing to write to.
# Build: docker build -t tidegate:dev .

FROM rust:1.95-bookworm AS build
# libgit2, zstd and ring are compiled from their vendored sources by the image's own C compiler. No OpenSSL anywhere.
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package tidegate --bin tidegate \
    && cp target/release/tidegate /tidegate

# cc: glibc and libgcc for the C parts; no shell, no package manager. Has the public CA certificates.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /tidegate /usr/local/bin/tidegate
USER 65532:65532
# Written at run time: /var/cache/tidegate (git mirrors) and /tmp, both mounted. The root file system stays read-only.
VOLUME ["/var/cache/tidegate", "/tmp"]
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/tidegate"]
CMD ["run"]
