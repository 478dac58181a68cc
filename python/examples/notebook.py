"""A notebook about a week of facts, with Polars. A line with `# %%` begins a cell.

python notebook.py facts/
"""

# %% The store. A real store is opened with mode "read", which creates, locks and changes nothing.
from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta, timezone

import polars as pl

import ostracon

path = sys.argv[1] if len(sys.argv) > 1 else "facts"
MONDAY = datetime(2026, 11, 16, tzinfo=timezone.utc)

# %% A week of made-up facts, if the store has none. The tills crash sometimes, and most often on Friday.
chance = random.Random(7)
with ostracon.open(path) as store:
    hours = [] if store.list("events", limit=1) else range(7 * 24)
    for at in (MONDAY + timedelta(hours=hour) for hour in hours):
        for _ in range(12 if at.weekday() == 4 else 4):
            sku = chance.choice(["tea", "cup", f"sku-{chance.randrange(1000)}"])
            error = f"KeyError: '{sku}'" if chance.random() < 0.7 else "TimeoutError: the bank is silent"
            store.record(
                {
                    "kind": "event",
                    "system_id": "shop",
                    "actor_address": f"shop:{chance.randrange(1, 6)}",
                    "event_type": "ActorCrashed",
                    "payload": {"error": error, "reason": None},
                    "timestamp": (at + timedelta(seconds=chance.random() * 3600)).timestamp(),
                }
            )

# %% An answer is a table. A notebook shows it if it is the last line of a cell.
store = ostracon.open(path, "read")
answer = store.sql(
    "SELECT at, actor_address, error_type, error FROM crashes WHERE at >= $monday ORDER BY at",
    {"monday": MONDAY.isoformat()},
)
print(answer)

# %% Polars reads the answer without a copy.
crashes = pl.DataFrame(answer)
print(f"\n{crashes.height} crashes, columns {', '.join(crashes.columns)}")

# %% Which day was the worst?
by_day = (
    crashes.group_by(pl.col("at").dt.strftime("%A").alias("day"))
    .agg(pl.len().alias("crashes"), pl.col("actor_address").n_unique().alias("actors"))
    .sort("crashes", descending=True)
)
print(f"\nThe worst day was {by_day.item(0, 'day')}, with {by_day.item(0, 'crashes')} crashes.")

# %% The store answers the same question in SQL, without returning all crashes first.
counted = store.sql(
    "SELECT to_char(at, '%A') AS day, count(*) AS crashes FROM crashes GROUP BY 1 ORDER BY 2 DESC"
)
assert counted.to_polars().row(0) == (by_day.item(0, "day"), by_day.item(0, "crashes"))

# %% The errors without their numbers, from a saved query.
groups = store.query("error_groups", limit=5).to_polars()
print(f"\n{groups.select('error_group', 'crashes')}")
