#!/usr/bin/env python3
"""Sends one metric to Tidemark. Standard library only, Python 3.8 or newer.

usage: send.py METRIC_ID VALUE [NAME] [UNIT]

TIDEMARK_URL         the webhook URL of the connection, https://…/api/webhooks/custom
TIDEMARK_API_KEY     its API key
TIDEMARK_PROJECT_ID  the project that the key belongs to
TIDEMARK_MAX_WAIT    time limit for retries in seconds, default 60

Exit status: 0 accepted, 1 rejected (do not retry), 2 usage error, 75 temporary failure (try again later).
"""

import http.client
import json
import logging
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid

log = logging.getLogger("tidemark")


class Rejected(Exception):
    """The server rejected the request; a retry would be rejected too."""


class TemporaryFailure(Exception):
    """The server was unreachable, or the next attempt would exceed the time limit."""


def send(url, key, project_id, metrics, max_wait=60.0):
    """Sends 1 to 100 metrics as one batch and returns the server's response.

    Retries on 429, 5xx and network errors until `max_wait` seconds have passed. All attempts carry the same
    Idempotency-Key, so that a batch whose response was lost is not stored twice. Raises Rejected or TemporaryFailure.
    """
    request = urllib.request.Request(
        url,
        data=json.dumps({"projectId": project_id, "metrics": metrics}).encode(),
        headers={
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid.uuid4()),
        },
    )
    give_up_at = time.monotonic() + max_wait
    attempt = 0
    while True:
        attempt += 1
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            reason = explain(error)
            if error.code != 429 and error.code < 500:
                raise Rejected(reason) from None
            wait = retry_after(error) or backoff(attempt)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # No response, or an incomplete one. The batch may have been stored; the idempotency key makes a retry safe.
            reason = f"no response: {getattr(error, 'reason', None) or error or type(error).__name__}"
            wait = backoff(attempt)
        if time.monotonic() + wait > give_up_at:
            raise TemporaryFailure(
                f"{reason} (gave up after attempt {attempt}: the next one would be in {wait:.0f} s)"
            )
        log.warning("attempt %d failed: %s; retrying in %.1f s", attempt, reason, wait)
        time.sleep(wait)


def backoff(attempt):
    """Returns 0.5 s, 1 s, 2 s … 30 s, reduced at random by up to half, so that clients do not retry in step."""
    return min(30.0, 0.25 * 2**attempt) * random.uniform(0.5, 1.0)


def retry_after(error):
    """Returns the value of Retry-After in seconds; None when there is none."""
    value = error.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def explain(error):
    """Returns the error code, the message, and each detail of an invalid batch."""
    try:
        body = json.load(error)
        lines = [f"{error.code} {body['error']}: {body['message']}"]
        lines += [
            f"  metric {detail.get('index', '-')}, {detail.get('field', '-')}: {detail['message']}"
            for detail in body.get("details", [])
        ]
        return "\n".join(lines)
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError):
        return f"{error.code} {error.reason}"


def number(text):
    """Parses a finite JSON number; raises ValueError."""
    value = json.loads(text, parse_constant=float)
    if type(value) not in (int, float) or value - value != 0:
        raise ValueError(text)
    return value


def main(arguments):
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    if not 2 <= len(arguments) <= 4:
        log.error(__doc__)
        return 2
    for name in ("TIDEMARK_URL", "TIDEMARK_API_KEY", "TIDEMARK_PROJECT_ID"):
        if not os.environ.get(name):
            log.error("%s is not set", name)
            return 2
    url = os.environ["TIDEMARK_URL"]
    if not url.startswith(("http://", "https://")):
        log.error("TIDEMARK_URL is not an http or https address: %s", url)
        return 2
    try:
        max_wait = float(os.environ.get("TIDEMARK_MAX_WAIT") or 60)
    except ValueError:
        log.error("TIDEMARK_MAX_WAIT is not a number of seconds")
        return 2
    metric = {"metricId": arguments[0], "timestamp": int(time.time() * 1000)}
    try:
        metric["value"] = number(arguments[1])
    except (ValueError, OverflowError):
        log.error("the value '%s' is not a number", arguments[1])
        return 2
    # Optional fields that are empty are left out; without a name, the server derives one from the id.
    metric.update({field: text for field, text in zip(("metricName", "unit"), arguments[2:]) if text})

    try:
        response = send(
            url, os.environ["TIDEMARK_API_KEY"], os.environ["TIDEMARK_PROJECT_ID"], [metric], max_wait
        )
    except Rejected as error:
        log.error("%s", error)
        return 1
    except TemporaryFailure as error:
        log.error("%s", error)
        return 75
    log.info("accepted %d, batch %s", response["accepted"], response["batchId"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
