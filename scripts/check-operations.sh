#!/usr/bin/env bash
# Checks what stands in docs/operations with promtool: the alerts and their tests, the dashboard's queries, and what the
# server said of itself in the tests. That all of it names metrics which the server has is an integration test's business.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! promtool=$(scripts/find-promtool.sh); then
  echo "==> not checked"
  exit 0
fi

operations=docs/operations
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$promtool" check rules "$operations/prometheus-rules.yml"
"$promtool" test rules "$operations/prometheus-rules-test.yml"

echo "Checking the dashboard's queries"
# Each as a recording rule, which is how promtool reads a query. JSON is YAML.
node --input-type=module - "$operations/grafana-dashboard.json" >"$scratch/queries.yml" <<'JS'
import { readFileSync } from 'node:fs';
const dashboard = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const queries = dashboard.panels.flatMap((panel) => (panel.targets ?? []).map((target) => target.expr));
if (queries.length === 0) throw new Error('the dashboard asks for nothing');
const rules = queries.map((expr, index) => ({ record: `query:${index}`, expr }));
console.log(JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
JS
"$promtool" check rules "$scratch/queries.yml"

said=${CARGO_TARGET_DIR:-target}/tmp/metrics.txt
if [ -f "$said" ]; then
  echo "Checking what a server said in the tests"
  "$promtool" check metrics <"$said"
fi
