"""Reads lines of {"path": …, "row": [document, get, text, int, length, bool, keys, contains]} and checks
each answer against Python's json module."""
import json
import re
import sys
from decimal import Decimal

LONE = re.compile("[\ud800-\udfff]")


def walk(value, path):
    for step in path:
        if isinstance(step, str) and isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return False, None
    return True, value


def integer(value):
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    if isinstance(value, Decimal) and (not value.is_finite() or value != value.to_integral_value()):
        return None
    return int(value) if -(2**63) <= value < 2**63 else None


def contains(root, path):
    if walk(root, path)[0]:
        return True
    there, inside = walk(root, path[:-1])
    return there and isinstance(inside, list) and isinstance(path[-1], str) and path[-1] in inside


count = 0
for line in sys.stdin:
    asked = json.loads(line)
    document, get, text, number, length, truth, keys, has = asked["row"]
    path = json.loads(asked["path"])
    root = json.loads(document, parse_float=Decimal)
    there, value = walk(root, path)
    assert (get is not None) == there, line
    if there:
        assert repr(json.loads(get, parse_float=Decimal)) == repr(value), line
    if value is None:
        wanted = None
    elif isinstance(value, str):
        wanted = LONE.sub("\ufffd", value)
    else:
        wanted = get
    assert text == wanted, line
    assert (None if number is None else int(number)) == integer(value), line
    size = len(value) if isinstance(value, (list, dict)) else None
    assert (None if length is None else int(length)) == size, line
    assert truth == (str(value).lower() if isinstance(value, bool) else None), line
    names = "|".join(LONE.sub("\ufffd", key) for key in value) if isinstance(value, dict) else None
    assert keys == names, line
    assert has == str(contains(root, path)).lower(), line
    count += 1
print(count, "the same")
