#!/usr/bin/env python3
"""Writes models/schedule_table.c from the recorded schedules of the reference code:
    models/schedule_table.py tests/golden/infinity_scale_schedules.json > models/schedule_table.c
Developers only: the result is committed, and tests/schedule_test.c compares both."""
import json
import sys

d = json.load(open(sys.argv[1]))
print("/* Made by models/schedule_table.py; do not edit. */\n/* clang-format off */")
print('#include "models/schedule.h"\n')
print("const struct cf_template cf_templates[CF_TEMPLATES] = {")
for t in d["templates"]:
    assert len(t["scales"]) == 13
    print("    {%s," % t["h_div_w"])
    rows = ["{%d, %d}" % (h, w) for h, w in t["scales"]]
    lines = [", ".join(rows[i:i + 7]) for i in range(0, 13, 7)]
    print("     {" + (",\n      ".join(lines)) + "}},")
print("};")
