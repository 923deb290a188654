#!/usr/bin/env bash
# Checks docs/operations with promtool: alert rules and their tests, the dashboard's queries, and the metrics that a server
# exported in the tests. An integration test checks that all used metrics exist.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! promtool=$(scripts/promtool.sh); then
  echo "==> operations: promtool not installed, skipped"
  exit 0
fi

operations=docs/operations
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$promtool" check rules "$operations/prometheus-rules.yml"
"$promtool" test rules "$operations/prometheus-rules-test.yml"

echo "Checking the dashboard's queries"
# promtool reads queries as recording rules. JSON is valid YAML.
node --input-type=module - "$operations/grafana-dashboard.json" >"$scratch/queries.yml" <<'JS'
import { readFileSync } from 'node:fs';
const dashboard = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const queries = dashboard.panels.flatMap((panel) => (panel.targets ?? []).map((target) => target.expr));
if (queries.length === 0) throw new Error('the dashboard has no queries');
const rules = queries.map((expr, index) => ({ record: `query:${index}`, expr }));
console.log(JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
JS
"$promtool" check rules "$scratch/queries.yml"

said=${CARGO_TARGET_DIR:-target}/tmp/metrics.txt
if [ -f "$said" ]; then
  echo "Checking the metrics that a server exported in the tests"
  "$promtool" check metrics <"$said"
fi
