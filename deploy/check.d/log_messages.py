#!/usr/bin/env python3
"""Checks that the documentation covers every warning and error that the services log.

usage: deploy/check.d/log_messages.py [--list]

Messages are the string literals of warn!() and error!() in the services and in the library crates. Each must be
constant, and a row of a table in the section "Log messages" of docs/troubleshooting.md. --list prints the messages.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ("crates", "gateway/src", "ingest-worker/src", "query-api/src")
# Development tools: their logs are read by developers only.
EXCLUDED = ("crates/clickhouse-embedded/", "/tests/", "/tests.rs", "/testing.rs")
PAGE = "docs/troubleshooting.md"
SECTION = "## Log messages\n"


def arguments(text, start):
    """The text between the parenthesis at start and the one that closes it."""
    depth, position, quoted = 0, start, False
    while position < len(text):
        character = text[position]
        if quoted:
            if character == "\\":
                position += 1
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return text[start + 1 : position]
        position += 1
    return text[start + 1 :]


def messages():
    """(message, file) of each call; the message is None where the last argument is no string literal."""
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.rs")):
            name = str(path.relative_to(ROOT))
            if any(part in name for part in EXCLUDED):
                continue
            text = path.read_text()
            # Unit tests stand at the end of a file.
            text = text.split("#[cfg(test)]\nmod tests {")[0]
            text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
            for call in re.finditer(r"(?:tracing::|\b)(?:warn|error)!\s*\(", text):
                inside = arguments(text, call.end() - 1)
                literals = re.findall(r'(?:^|,)\s*"((?:[^"\\]|\\.)*)"\s*,?\s*$', inside)
                message = re.sub(r"\\\n\s*", "", literals[-1]) if literals else None
                yield message, name


def main():
    found = list(messages())
    if "--list" in sys.argv[1:]:
        for message, name in found:
            print(f"{name}: {message}")
        return 0
    section = (ROOT / PAGE).read_text().partition(SECTION)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)
    faults = []
    for message, name in found:
        if message is None or "{" in message:
            faults.append(f"{name}: a warning or error is not logged with a constant message: {message}")
        elif message not in rows:
            faults.append(f"{name}: `{message}` has no row in {PAGE}")
    known = {message for message, _ in found}
    for row in rows:
        if row not in known:
            faults.append(f"{PAGE}: `{row}` is logged by no service")
        elif rows.count(row) > 1:
            faults.append(f"{PAGE}: `{row}` has several rows")
    for fault in faults:
        print(fault)
    print(f"{len(known)} messages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
