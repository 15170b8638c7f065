{{/* Properties in which the services differ. */}}
{{- define "tidemark.services" -}}
gateway: {binary: gateway, ops: 9080, port: 8080, clickhouse: false, secrets: [ADDRESS_HASH_KEY]}
worker: {binary: ingest-worker, ops: 9081, port: 0, clickhouse: true, secrets: []}
query: {binary: query-api, ops: 9082, port: 8090, clickhouse: true, secrets: [OPERATOR_TOKEN]}
{{- end -}}
