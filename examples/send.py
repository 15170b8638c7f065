#!/usr/bin/env python3
"""Sends one metric to Tidemark. Standard library only, Python 3.8 or newer.

usage: send.py METRIC_ID VALUE [NAME] [UNIT]

TIDEMARK_URL         the webhook URL of the connection, https://…/api/webhooks/custom
TIDEMARK_API_KEY     its API key
TIDEMARK_PROJECT_ID  the project that the key belongs to
TIDEMARK_MAX_WAIT    seconds to go on trying, default 60

Exit status: 0 accepted, 1 refused (repeating will not help), 2 wrong call, 75 not now (try again later).
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


class Refused(Exception):
    """The server understood the request and will not take it: repeating it changes nothing."""


class NotNow(Exception):
    """The server could not be reached or asked to come back later than we may wait."""


def send(url, key, project_id, metrics, max_wait=60.0):
    """Sends 1 to 100 metrics as one batch and returns the server's answer.

    Repeats on 429, 5xx and network errors until `max_wait` seconds have passed. All tries carry one Idempotency-Key,
    so a batch whose answer was lost on the way is not stored twice. Raises Refused or NotNow.
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
            why = explain(error)
            if error.code != 429 and error.code < 500:
                raise Refused(why) from None
            wait = retry_after(error) or backoff(attempt)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # No answer, or not a whole one. The batch may have been stored all the same; repeating it is safe.
            why = f"no answer: {getattr(error, 'reason', None) or error or type(error).__name__}"
            wait = backoff(attempt)
        if time.monotonic() + wait > give_up_at:
            raise NotNow(f"{why} (gave up after try {attempt}; the next would be in {wait:.0f} s)")
        log.warning("try %d: %s; next in %.1f s", attempt, why, wait)
        time.sleep(wait)


def backoff(attempt):
    """0.5 s, 1 s, 2 s … up to 30 s, less a random half, so that many clients do not come back all at once."""
    return min(30.0, 0.25 * 2**attempt) * random.uniform(0.5, 1.0)


def retry_after(error):
    """What the server asks for in whole seconds; None when it does not."""
    value = error.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def explain(error):
    """The machine code, the sentence for people, and every fault of a refused batch."""
    try:
        body = json.load(error)
        lines = [f"{error.code} {body['error']}: {body['message']}"]
        lines += [
            f"  metric {fault.get('index', '-')}, {fault.get('field', '-')}: {fault['message']}"
            for fault in body.get("details", [])
        ]
        return "\n".join(lines)
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError):
        return f"{error.code} {error.reason}"


def number(text):
    """The text as a finite JSON number, or ValueError."""
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
    # Left out where it is empty: the server then makes a name of the id.
    metric.update({field: text for field, text in zip(("metricName", "unit"), arguments[2:]) if text})

    try:
        answer = send(
            url, os.environ["TIDEMARK_API_KEY"], os.environ["TIDEMARK_PROJECT_ID"], [metric], max_wait
        )
    except Refused as refused:
        log.error("%s", refused)
        return 1
    except NotNow as later:
        log.error("%s", later)
        return 75
    log.info("accepted %d, batch %s", answer["accepted"], answer["batchId"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
