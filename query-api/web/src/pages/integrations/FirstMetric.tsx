import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { metricQuery } from "../../api/queries.ts";
import { formatValue } from "../../format/numbers.ts";
import { formatExact } from "../../format/times.ts";
import { useIsLive, useLivePoints } from "../../live/hooks.ts";
import type { LivePoint } from "../../live/stream.ts";
import { ButtonLink } from "../../ui/Button.tsx";
import { CheckIcon } from "../../ui/icons.tsx";

const MAX_POINTS = 5;

/** Waits for the first metric, and shows the latest points as they arrive. */
export function FirstMetric() {
  const [points, setPoints] = useState<LivePoint[]>([]);
  const live = useIsLive();
  useLivePoints(undefined, (point) => setPoints((points) => [point, ...points].slice(0, MAX_POINTS)));
  const [first] = points;
  return (
    <section className={`first-metric${first ? " first-metric-done" : ""}`} aria-live="polite" aria-label="First metric">
      {first ? (
        <>
          <div className="first-metric-head"><span className="first-metric-check"><CheckIcon /></span><h2>Metric received</h2></div>
          <ul className="received-points">
            {points.map((point) => <ReceivedPoint key={`${point.metricId} ${point.timestamp} ${point.receivedAt}`} point={point} />)}
          </ul>
          <div className="row">
            <ButtonLink to="/dashboards?offer=1" variant="primary">Add to a dashboard</ButtonLink>
            <ButtonLink to={`/metrics/${encodeURIComponent(first.metricId)}`}>View metric</ButtonLink>
          </div>
        </>
      ) : (
        <div className="first-metric-head">
          <span className="pulse" aria-hidden="true" />
          <div>
            <h2>Waiting for your first metric…</h2>
            <p className="muted">{live ? "Send one of the requests below. The metric appears here within a second." : "Connecting to the live stream…"}</p>
          </div>
        </div>
      )}
    </section>
  );
}

function ReceivedPoint({ point }: { point: LivePoint }) {
  // The live stream may be ahead of the catalogue, so the metric is polled until it exists.
  const metric = useQuery({ ...metricQuery(point.metricId), retry: false, refetchInterval: (query) => (query.state.data ? false : 300) });
  return (
    <li className="received-point">
      <div>
        <strong>{metric.data?.metricName ?? point.metricId}</strong>
        <code className="muted small">{point.metricId}</code>
      </div>
      <span className="received-point-value numeric">{formatValue(point.value, metric.data?.unit)}</span>
      <span className="muted small numeric">{formatExact(point.timestamp)}</span>
    </li>
  );
}
