#!/usr/bin/env node
// Sends one metric to Tidemark. Plain fetch, Node 18 or newer.
//
// A key belongs in the environment of a server or a job, never in a page that a browser loads.

const USAGE = `usage: send.mjs METRIC_ID VALUE [NAME] [UNIT]

TIDEMARK_URL         the webhook URL of the connection, https://…/api/webhooks/custom
TIDEMARK_API_KEY     its API key
TIDEMARK_PROJECT_ID  the project that the key belongs to
TIDEMARK_MAX_WAIT    seconds to go on trying, default 60

Exit status: 0 accepted, 1 refused (repeating will not help), 2 wrong call, 75 not now (try again later).`;

import { randomUUID } from "node:crypto";
import { realpathSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** The server understood the request and will not take it: repeating it changes nothing. */
export class Refused extends Error {}

/** The server could not be reached or asked to come back later than we may wait. */
export class NotNow extends Error {}

/**
 * Sends 1 to 100 metrics as one batch and returns the server's answer.
 *
 * Repeats on 429, 5xx and network errors until `maxWaitMs` have passed. All tries carry one Idempotency-Key, so a
 * batch whose answer was lost on the way is not stored twice. Throws Refused or NotNow.
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
    let why;
    let waitMs;
    try {
      const response = await fetch(url, { ...request, signal: AbortSignal.timeout(10_000) });
      if (response.ok) return await response.json();
      why = await explain(response);
      if (response.status !== 429 && response.status < 500) throw new Refused(why);
      waitMs = retryAfterMs(response) ?? backoffMs(attempt);
    } catch (error) {
      if (error instanceof Refused) throw error;
      // No answer, or not a whole one. The batch may have been stored all the same; repeating it is safe.
      why = `no answer: ${error.cause?.message || error.cause?.code || error.message}`;
      waitMs = backoffMs(attempt);
    }
    if (performance.now() + waitMs > giveUpAt) {
      throw new NotNow(`${why} (gave up after try ${attempt}; the next would be in ${Math.round(waitMs / 1000)} s)`);
    }
    log(`try ${attempt}: ${why}; next in ${(waitMs / 1000).toFixed(1)} s`);
    await sleep(waitMs);
  }
}

/** 0.5 s, 1 s, 2 s … up to 30 s, less a random half, so that many clients do not come back all at once. */
function backoffMs(attempt) {
  return Math.min(30_000, 250 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

/** What the server asks for, in whole seconds; undefined when it does not. */
function retryAfterMs(response) {
  const value = response.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(value) ? Number(value) * 1000 : undefined;
}

/** The machine code, the sentence for people, and every fault of a refused batch. */
async function explain(response) {
  try {
    const { error, message, details = [] } = await response.json();
    if (!error) throw new TypeError("not our error shape");
    const faults = details.map((fault) => `  metric ${fault.index ?? "-"}, ${fault.field ?? "-"}: ${fault.message}`);
    return [`${response.status} ${error}: ${message}`, ...faults].join("\n");
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

/** The text as a finite JSON number; undefined when it is none. */
function number(text) {
  try {
    const value = JSON.parse(text);
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The command line; returns the exit status. */
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
  // JSON leaves out what is undefined: the server then makes a name of the id.
  const metric = { metricId, metricName: metricName || undefined, value, unit: unit || undefined, timestamp: Date.now() };
  try {
    const answer = await send({
      url: process.env.TIDEMARK_URL,
      key: process.env.TIDEMARK_API_KEY,
      projectId: process.env.TIDEMARK_PROJECT_ID,
      metrics: [metric],
      maxWaitMs,
      log,
    });
    log(`accepted ${answer.accepted}, batch ${answer.batchId}`);
    return 0;
  } catch (error) {
    log(error.message);
    return error instanceof NotNow ? 75 : 1;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
