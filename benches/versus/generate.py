#!/usr/bin/env python3
"""Write N facts of an invented actor system, one a line, just as Papyra's JSON backend writes them.

    python generate.py --facts 1000000 --out facts.ndjson [--seed 1]

The same N and seed give the same bytes, on every machine with the same numpy. The facts are made to be as
uneven as real ones:

- three systems with 3,000 actors in all, of which a few do most of what happens (a power law);
- 95 % events, 4 % dead letters, 1 % audits; of the events about one in five is a crash;
- 15 classes of exceptions, most of whose messages carry a number, so that almost every text occurs
  once or a few times while there are about 20 shapes;
- 30 days of time.time() stamps with at most seven decimals, more by day than by night, in the order
  of recording: growing, with the little disorder that concurrent tasks leave.

What an actor does is drawn event by event, so a restart follows a crash often but not always: good
for measuring, not for reading.
"""

import argparse
import sys

import numpy as np

DAYS = 30
FIRST_INSTANT = 1_772_323_200  # 2026-03-01T00:00:00Z
CHUNK = 100_000

SYSTEMS = [("shop", 1800), ("billing-eu", 800), ("warehouse", 400)]

# Class, message with a place for a number, the number's limits, weight.
ERRORS = [
    ("KeyError: missing field sku-{}", (0, 5_000), 16),
    ("TimeoutError: upstream took {}ms", (500, 30_000), 14),
    ("ValueError: invalid quantity: {}", (-9, 1), 12),
    ("UpstreamError: HTTP 502 from https://api.example/v1/orders/{}", (1, 100_000), 9),
    ("UpstreamError: HTTP 503 from https://api.example/v1/orders/{}", (1, 100_000), 6),
    ("ConnectionError: [Errno 111] connect to 10.0.3.{}:6379 refused", (1, 255), 8),
    ("OSError: [Errno 28] No space left on device", None, 7),
    ("ZeroDivisionError: division by zero", None, 7),
    ("AssertionError: ", None, 5),
    ("RuntimeError: actor.on_start() failed", None, 4),
    ("RuntimeError: Ungültiger Zustand: «geschlossen» ☠", None, 2),
    ("LookupError: no route to worker {}", (1, 400), 4),
    ("PermissionError: [Errno 13] Permission denied: '/srv/data/{}.part'", (1, 20_000), 3),
    ("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position {}", (0, 4_096), 2),
    ("MemoryError: cannot allocate {} bytes", (1_000_000, 900_000_000), 2),
    ("IndexError: list index out of range", None, 3),
    ("TypeError: unsupported operand type(s) for +: 'int' and 'NoneType'", None, 3),
    ("AttributeError: 'NoneType' object has no attribute 'price'", None, 4),
    ("RecursionError: maximum recursion depth exceeded", None, 1),
    ("ValueError: multi\\nline\\tmessage with \\\"quotes\\\" and order {}", (1, 100_000), 2),
]

LETTERS = [
    ("PlaceOrder", '{{"order_id": {}, "sku": "SKU-{:05d}", "qty": {}, "price": "{}.{:02d}"}}', 35),
    ("SensorReading", '{{"sensor": "t-{}", "celsius": {}.{}, "flags": ["cal", "low"]}}', 25),
    ("dict", '{{"type": "click", "user": {}, "tags": ["日本", "b"], "ok": false, "ratio": 0.{}5}}', 20),
    ("str", '"ping {}"', 10),
    ("NoneType", "null", 5),
    ("int", "{}", 5),
]

STARTED = '"event_type": "ActorStarted", "payload": {}'
STOPPED = '"event_type": "ActorStopped", "payload": {"reason": "stopped"}'
RESTARTED = '"event_type": "ActorRestarted", "payload": {"reason": "actor restarted"}'


def weights(entries):
    w = np.array([entry[-1] for entry in entries], dtype=float)
    return w / w.sum()


def instants(rng, n):
    """N stamps over 30 days: a wave a day, in order but for some hundredths of a second."""
    fine = np.linspace(0, DAYS, DAYS * 24 * 60 + 1)
    density = 1.0 + 0.8 * np.sin((fine - 0.25) * 2 * np.pi)
    share = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    share /= share[-1]
    days = np.interp((np.arange(n) + rng.random(n)) / n, share, fine)
    stamps = FIRST_INSTANT + days * 86_400 + rng.exponential(0.05, n)
    return np.round(stamps, 7)


def actors(rng):
    """Each actor's system and address, in random order, and how much of what happens is its."""
    names = [(system, f"{system}:{i}") for system, count in SYSTEMS for i in range(1, count + 1)]
    rng.shuffle(names)
    share = 1.0 / np.arange(1, len(names) + 1) ** 0.9
    return names, share / share.sum()


def lines(n, seed):
    """The facts, in chunks of lines."""
    rng = np.random.default_rng(seed)
    names, share = actors(rng)
    heads = [
        f'{{"kind": "event", "system_id": "{system}", "actor_address": "{address}", ' for system, address in names
    ]
    letter_heads = [
        f'{{"kind": "dead_letter", "system_id": "{system}", "target": "{address}", ' for system, address in names
    ]
    stamps = instants(rng, n)
    lost = dict.fromkeys((system for system, _ in SYSTEMS), 0)
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        when = stamps[start : start + size].tolist()
        who = rng.choice(len(names), size, p=share).tolist()
        # Events: 20 % crashes, 15 % restarts, the rest starts and stops; of all facts 95 %.
        what = rng.choice(6, size, p=[0.95 * 0.33, 0.95 * 0.32, 0.95 * 0.15, 0.95 * 0.20, 0.04, 0.01]).tolist()
        error = rng.choice(len(ERRORS), size, p=weights(ERRORS)).tolist()
        letter = rng.choice(len(LETTERS), size, p=weights(LETTERS)).tolist()
        figures = rng.random((size, 3)).tolist()
        out = []
        for t, actor, act, which, sort, (a, b, c) in zip(when, who, what, error, letter, figures):
            if act == 0:
                fact = heads[actor] + STARTED
            elif act == 1:
                fact = heads[actor] + STOPPED
            elif act == 2:
                fact = heads[actor] + RESTARTED
            elif act == 3:
                text, limits, _ = ERRORS[which]
                if limits:
                    text = text.format(limits[0] + int(a * (limits[1] - limits[0])))
                fact = f'{heads[actor]}"event_type": "ActorCrashed", "payload": {{"error": "{text}", "reason": "{text}"}}'
            elif act == 4:
                system = names[actor][0]
                lost[system] += 1
                message, body, _ = LETTERS[sort]
                body = body.format(int(a * 900_000), int(b * 500), int(c * 9) + 1, int(b * 1_000), int(c * 100))
                head = letter_heads[actor] if c > 0.01 else f'{{"kind": "dead_letter", "system_id": "{system}", "target": null, '
                fact = f'{head}"message_type": "{message}", "payload": {body}'
            else:
                system, count = SYSTEMS[actor % len(SYSTEMS)]
                alive = int(count * (0.5 + a / 3))
                stopping, restarting = int(b * 20), int(c * 5)
                orphans = f'["svc-{int(a * 50)}"]' if b > 0.97 else "[]"
                dead = f'["svc-{int(c * 50)}"]' if b > 0.99 else "[]"
                out.append(
                    f'{{"kind": "audit", "system_id": "{system}", "timestamp": {t!r}, '
                    f'"total_actors": {alive + stopping + restarting}, "alive_actors": {alive}, '
                    f'"stopping_actors": {stopping}, "restarting_actors": {restarting}, "registry_size": 50, '
                    f'"registry_orphans": {orphans}, "registry_dead": {dead}, "dead_letters_count": {lost[system]}}}\n'
                )
                continue
            out.append(f'{fact}, "timestamp": {t!r}}}\n')
        yield "".join(out)


def write(path, n, seed=1):
    """Write N facts to `path`."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for chunk in lines(n, seed):
            file.write(chunk)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--facts", type=int, default=1_000_000)
    parser.add_argument("--out", default="-", help="a file; - is stdout")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    write("/dev/stdout" if args.out == "-" else args.out, args.facts, args.seed)


if __name__ == "__main__":
    sys.exit(main())
