import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { metricQuery } from "../../api/queries.ts";
import { formatValue } from "../../format/numbers.ts";
import { formatExact } from "../../format/times.ts";
import { useIsLive, useLivePoints } from "../../live/hooks.ts";
import type { LivePoint } from "../../live/stream.ts";
import { ButtonLink } from "../../ui/Button.tsx";
import { CheckIcon } from "../../ui/icons.tsx";

const SHOWN = 5;

/** Waits for the first metric, and shows it the moment it arrives. */
export function FirstMetric() {
  const [points, setPoints] = useState<LivePoint[]>([]);
  const live = useIsLive();
  useLivePoints(undefined, (point) => setPoints((points) => [point, ...points].slice(0, SHOWN)));
  const [first] = points;
  return (
    <section className={`waiting${first ? " waiting-done" : ""}`} aria-live="polite" aria-label="First metric">
      {first ? (
        <>
          <div className="waiting-head"><span className="waiting-check"><CheckIcon /></span><h2>It arrived</h2></div>
          <ul className="arrivals">
            {points.map((point) => <Arrival key={`${point.metricId} ${point.timestamp} ${point.receivedAt}`} point={point} />)}
          </ul>
          <div className="row">
            <ButtonLink to="/dashboards?offer=1" look="primary">Put it on a dashboard</ButtonLink>
            <ButtonLink to={`/metrics/${encodeURIComponent(first.metricId)}`}>See the metric</ButtonLink>
          </div>
        </>
      ) : (
        <div className="waiting-head">
          <span className="pulse" aria-hidden="true" />
          <div>
            <h2>Waiting for the first metric …</h2>
            <p className="quiet">{live ? "Send one of the requests below, and it appears here within a second." : "Connecting to the live stream …"}</p>
          </div>
        </div>
      )}
    </section>
  );
}

function Arrival({ point }: { point: LivePoint }) {
  const metric = useQuery(metricQuery(point.metricId));
  return (
    <li className="arrival">
      <div>
        <strong>{metric.data?.metricName ?? point.metricId}</strong>
        <code className="quiet small">{point.metricId}</code>
      </div>
      <span className="arrival-value numeric">{formatValue(point.value, metric.data?.unit)}</span>
      <span className="quiet small numeric">{formatExact(point.timestamp)}</span>
    </li>
  );
}
