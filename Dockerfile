# The image: one static program in an empty root, as a user without a name. scripts/build-static says how it is linked.
#
#   docker build -t catproxy .
#   docker build -t catproxy --build-arg FEATURES=otel .       with traces (docs/traces.md)
#   docker build -t catproxy-stand-in --target stand-in .      the stand-in upstream, for the demo of compose.yaml

# All that is not ours: a layer that only another Cargo.lock builds anew.
FROM rust:1.95.0-slim-bookworm AS dependencies
WORKDIR /build
# Of catproxy's, for scripts/build-static; with commas between.
ARG FEATURES=
COPY scripts/build-static scripts/
COPY Cargo.toml Cargo.lock ./
COPY fake-abconnect/Cargo.toml fake-abconnect/
COPY model/Cargo.toml model/
# Empty crates in the place of ours. Without the manifest's last part, which names benchmarks and tests that are not here.
RUN sed -i '/^\[\[/,$d' Cargo.toml \
    && for crate in . fake-abconnect model; do \
           mkdir -p "$crate/src" && : >"$crate/src/lib.rs" && echo 'fn main() {}' >"$crate/src/main.rs" || exit 1; \
       done \
    && scripts/build-static

FROM dependencies AS built
COPY askama.toml ./
COPY config config
COPY src src
# cargo goes by times, and those of the sources are older than those of the empty crates.
RUN touch src/lib.rs src/main.rs && cp "$(scripts/build-static)/catproxy" /catproxy

FROM dependencies AS stand-in-built
COPY fake-abconnect fake-abconnect
RUN touch fake-abconnect/src/lib.rs fake-abconnect/src/main.rs \
    && cp "$(scripts/build-static fake-abconnect)/fake-abconnect" /fake-abconnect

FROM scratch AS stand-in
COPY --from=stand-in-built /fake-abconnect /fake-abconnect
USER 65532:65532
ENV FAKE_ABCONNECT_LISTEN=0.0.0.0:8081
EXPOSE 8081
STOPSIGNAL SIGINT
ENTRYPOINT ["/fake-abconnect"]

FROM scratch
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="catproxy" \
      org.opencontainers.image.description="A caching reverse proxy for the ABConnect Catalog API" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# Whom it believes to be the upstream. Time zones are in the program.
COPY --from=built /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY LICENSE LICENSE-APACHE LICENSE-MIT /licenses/
COPY --from=built /catproxy /catproxy
USER 65532:65532
# The operator's listener stays within the container, for the check below: `docker exec NAME /catproxy status` asks it, too.
ENV CATPROXY_LISTEN=0.0.0.0:8080 \
    CATPROXY_ADMIN_LISTEN=127.0.0.1:9180
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/catproxy", "status"]
ENTRYPOINT ["/catproxy"]
CMD ["serve"]
