// What tests/reporters/html/test_script.py writes: the same computed in Python. Without it those tests are skipped.

import { readFileSync } from "node:fs";

export function fixture() {
  const path = process.env.TRACEKIT_FIXTURE;
  return path ? JSON.parse(readFileSync(path, "utf8")) : {};
}
