# Builds one image per target: `gateway`, `ingest-worker`, `query-api` and `tidemarkctl`.
#
#   docker build --target gateway --tag tidemark-gateway:0.1.0 .
#
# Each image contains one binary and the libraries that it needs. It runs without a shell, with a read-only root file
# system and without capabilities. Software bill of materials: `docker buildx build --sbom=true` for the whole image,
# deploy/sbom for the Cargo and npm packages.

# Builds the page, which is compiled into query-api.
FROM node:22.20.0-bookworm-slim AS web
WORKDIR /src/query-api/web
COPY query-api/web/package.json query-api/web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY query-api/web ./
RUN npm run build

FROM rust:1.95.0-slim-bookworm AS toolchain
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        cmake g++ libcurl4-openssl-dev libssl-dev make pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src

# Contains the Cargo manifests only, so the dependency layer stays cached until a manifest changes.
FROM toolchain AS manifests
COPY . /all
RUN /all/deploy/docker/skeleton /all /skeleton

FROM toolchain AS dependencies
COPY --from=manifests /skeleton ./
RUN cargo build --release --locked -p gateway -p ingest-worker -p query-api -p tidemarkctl

FROM dependencies AS build
COPY . .
COPY --from=web /src/query-api/web/dist query-api/web/dist
# Cargo compares modification times. Those of the sources are older than those of the placeholder files in the dependency
# layer, so the sources are touched.
RUN find . -path ./target -prune -o -type f \( -name '*.rs' -o -name '*.proto' \) -exec touch {} + \
    && cargo build --release --locked -p gateway -p ingest-worker -p query-api -p tidemarkctl \
    && strip target/release/gateway target/release/ingest-worker target/release/query-api target/release/tidemarkctl

FROM debian:bookworm-slim AS runtime
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 65532 tidemark \
    && useradd --system --uid 65532 --gid 65532 --no-create-home --shell /usr/sbin/nologin tidemark
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="Tidemark" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
WORKDIR /
# SIGTERM starts a graceful shutdown, which takes at most 25 s.
STOPSIGNAL SIGTERM

FROM runtime AS gateway
LABEL org.opencontainers.image.title="tidemark-gateway" \
      org.opencontainers.image.description="Accepts batches of metrics over HTTP and acknowledges them once Kafka has stored them"
COPY --from=build /src/target/release/gateway /usr/local/bin/gateway
ENV LISTEN=0.0.0.0:8080 OPS_LISTEN=0.0.0.0:9080
EXPOSE 8080 9080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["gateway", "health"]
ENTRYPOINT ["gateway"]

FROM runtime AS ingest-worker
LABEL org.opencontainers.image.title="tidemark-ingest-worker" \
      org.opencontainers.image.description="Copies metrics from Kafka to ClickHouse and stores each exactly once"
COPY --from=build /src/target/release/ingest-worker /usr/local/bin/ingest-worker
ENV OPS_LISTEN=0.0.0.0:9081
EXPOSE 9081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["ingest-worker", "health"]
ENTRYPOINT ["ingest-worker"]

FROM runtime AS query-api
LABEL org.opencontainers.image.title="tidemark-query-api" \
      org.opencontainers.image.description="Serves the page, reads of metrics, management and alerts"
COPY --from=build /src/target/release/query-api /usr/local/bin/query-api
ENV LISTEN=0.0.0.0:8090 OPS_LISTEN=0.0.0.0:9082
EXPOSE 8090 9082
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["query-api", "health"]
ENTRYPOINT ["query-api"]

FROM runtime AS tidemarkctl
LABEL org.opencontainers.image.title="tidemarkctl" \
      org.opencontainers.image.description="Manages a Tidemark installation over its HTTP API"
COPY --from=build /src/target/release/tidemarkctl /usr/local/bin/tidemarkctl
ENTRYPOINT ["tidemarkctl"]
