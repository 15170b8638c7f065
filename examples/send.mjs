#!/usr/bin/env node
// Sends one metric to Tidemark. Plain fetch, Node 18 or newer.
//
// Keep the API key in the environment of a server or a job, never in a page that a browser loads.

const USAGE = `usage: send.mjs METRIC_ID VALUE [NAME] [UNIT]

TIDEMARK_URL         the webhook URL of the connection, https://…/api/webhooks/custom
TIDEMARK_API_KEY     its API key
TIDEMARK_PROJECT_ID  the project that the key belongs to
TIDEMARK_MAX_WAIT    time limit for retries in seconds, default 60

Exit status: 0 accepted, 1 rejected (do not retry), 2 usage error, 75 temporary failure (try again later).`;

import { randomUUID } from "node:crypto";
import { realpathSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** The server rejected the request; a retry would be rejected too. */
export class Rejected extends Error {}

/** The server was unreachable, or the next attempt would exceed the time limit. */
export class TemporaryFailure extends Error {}

/**
 * Sends 1 to 100 metrics as one batch and returns the server's response.
 *
 * Retries on 429, 5xx and network errors until `maxWaitMs` have passed. All attempts carry the same Idempotency-Key, so
 * that a batch whose response was lost is not stored twice. Throws Rejected or TemporaryFailure.
 */
export async function send({ url, key, projectId, metrics, maxWaitMs = 60_000, log = console.error }) {
  const request = {
    method: "POST",
    headers: {
      Authorization: `Bearer ${key}`,
      "Content-Type": "application/json",
      "Idempotency-Key": randomUUID(),
    },
    body: JSON.stringify({ projectId, metrics }),
  };
  const giveUpAt = performance.now() + maxWaitMs;
  for (let attempt = 1; ; attempt += 1) {
    let reason;
    let waitMs;
    try {
      const response = await fetch(url, { ...request, signal: AbortSignal.timeout(10_000) });
      if (response.ok) return await response.json();
      reason = await explain(response);
      if (response.status !== 429 && response.status < 500) throw new Rejected(reason);
      waitMs = retryAfterMs(response) ?? backoffMs(attempt);
    } catch (error) {
      if (error instanceof Rejected) throw error;
      // No response, or an incomplete one. The batch may have been stored; the idempotency key makes a retry safe.
      reason = `no response: ${error.cause?.message || error.cause?.code || error.message}`;
      waitMs = backoffMs(attempt);
    }
    if (performance.now() + waitMs > giveUpAt) {
      const seconds = Math.round(waitMs / 1000);
      throw new TemporaryFailure(`${reason} (gave up after attempt ${attempt}: the next one would be in ${seconds} s)`);
    }
    log(`attempt ${attempt} failed: ${reason}; retrying in ${(waitMs / 1000).toFixed(1)} s`);
    await sleep(waitMs);
  }
}

/** Returns 0.5 s, 1 s, 2 s … 30 s, reduced at random by up to half, so that clients do not retry in step. */
function backoffMs(attempt) {
  return Math.min(30_000, 250 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

/** Returns the value of Retry-After in milliseconds; undefined when there is none. */
function retryAfterMs(response) {
  const value = response.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(value) ? Number(value) * 1000 : undefined;
}

/** Returns the error code, the message, and each detail of an invalid batch. */
async function explain(response) {
  try {
    const { error, message, details = [] } = await response.json();
    if (!error) throw new TypeError("not an error of Tidemark");
    const lines = details.map((detail) => `  metric ${detail.index ?? "-"}, ${detail.field ?? "-"}: ${detail.message}`);
    return [`${response.status} ${error}: ${message}`, ...lines].join("\n");
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

/** Parses a finite JSON number; returns undefined for anything else. */
function number(text) {
  try {
    const value = JSON.parse(text);
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Runs the command line; returns the exit status. */
async function main([metricId, valueText, metricName, unit, ...rest]) {
  const log = (line) => console.error(`${new Date().toISOString()} ${line}`);
  if (valueText === undefined || rest.length > 0) {
    log(USAGE);
    return 2;
  }
  for (const name of ["TIDEMARK_URL", "TIDEMARK_API_KEY", "TIDEMARK_PROJECT_ID"]) {
    if (!process.env[name]) {
      log(`${name} is not set`);
      return 2;
    }
  }
  if (!/^https?:\/\//.test(process.env.TIDEMARK_URL)) {
    log(`TIDEMARK_URL is not an http or https address: ${process.env.TIDEMARK_URL}`);
    return 2;
  }
  const value = number(valueText);
  if (value === undefined) {
    log(`the value '${valueText}' is not a number`);
    return 2;
  }
  const maxWaitMs = Number(process.env.TIDEMARK_MAX_WAIT || 60) * 1000;
  if (!(maxWaitMs >= 0)) {
    log("TIDEMARK_MAX_WAIT is not a number of seconds");
    return 2;
  }
  // JSON leaves out undefined fields; without a name, the server derives one from the id.
  const metric = { metricId, metricName: metricName || undefined, value, unit: unit || undefined, timestamp: Date.now() };
  try {
    const response = await send({
      url: process.env.TIDEMARK_URL,
      key: process.env.TIDEMARK_API_KEY,
      projectId: process.env.TIDEMARK_PROJECT_ID,
      metrics: [metric],
      maxWaitMs,
      log,
    });
    log(`accepted ${response.accepted}, batch ${response.batchId}`);
    return 0;
  } catch (error) {
    log(error.message);
    return error instanceof TemporaryFailure ? 75 : 1;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
