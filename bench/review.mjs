// Measures administrators' lists with many sessions.
//
//   node bench/review.mjs [SERVER] [SITE] [--people 100000] [--sessions 1000000] [--rounds 5]
//
// Fills a new database (`broker-portal seed`), then sends the requests of administrators to the API and the pages of a running
// server: as a system administrator, and as the administrator of one organization.
//
// - Each request is sent --rounds times in sequence. Prints the median and the maximum in milliseconds, from the first byte
//   sent to the last one received.
// - Each request is then sent once more with auto_explain (part of Postgres' contrib). Prints the slowest statements: plan
//   nodes with their rows over all loops.
// - The exit status is 1 if a median exceeds two seconds, except for the export of a whole organization.
import { appendFileSync, openSync, readFileSync, readSync, closeSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startServer } from './server.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    people: { type: 'string', default: '100000' },
    sessions: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '5' },
  },
});
const [binary = 'target/release/broker-portal', site = 'target/release/site'] = positionals;
const rounds = Number(values.rounds);
const password = 'correct horse battery staple';

/** Limit for the median. */
const LIMIT = 2000;

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Makes Postgres load auto_explain, without output so far. */
function loadExplain({ postgres }) {
  appendFileSync(
    join(postgres(), 'data', 'postgresql.auto.conf'),
    [
      "session_preload_libraries = 'auto_explain'",
      'auto_explain.log_analyze = on',
      'auto_explain.log_timing = off',
      'auto_explain.log_format = json',
      '',
    ].join('\n'),
  );
}

/** Makes Postgres log the plan of each statement from now on. Connections stay open. */
async function explain(server) {
  const data = join(server.postgres(), 'data');
  appendFileSync(join(data, 'postgresql.auto.conf'), 'auto_explain.log_min_duration = 0\n');
  process.kill(Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGHUP');
  await new Promise((resolve) => setTimeout(resolve, 500));
}

/** Postgres' log from a position on. */
function logged(server, from) {
  const bytes = Buffer.alloc(statSync(server.log).size - from);
  const file = openSync(server.log);
  readSync(file, bytes, 0, bytes.length, from);
  closeSync(file);
  return bytes.toString('utf8');
}

/** The statements of a log with duration, text and plan. */
function statements(log) {
  const found = [];
  for (const part of log.split(/duration: (?=[\d.]+ ms  plan:\n)/).slice(1)) {
    const [head, ...lines] = part.split('\n');
    const end = lines.findIndex((line) => !line.startsWith('\t'));
    const { 'Query Text': text, Plan: plan } = JSON.parse(lines.slice(0, end < 0 ? lines.length : end).join('\n'));
    found.push({ ms: Number.parseFloat(head), text, plan });
  }
  return found;
}

/** "Limit 51 < Nested Loop 51 < (Index Scan on sessions_open_by_activity 51, Index Scan on users_pkey 51)" */
function short(plan) {
  const over = plan['Index Name'] ?? plan['Relation Name'] ?? plan['CTE Name'] ?? plan['Function Name'];
  const direction = plan['Scan Direction'] === 'Backward' ? ' backward' : '';
  const rows = Math.round(plan['Actual Rows'] * plan['Actual Loops']);
  const dropped = Math.round((plan['Rows Removed by Filter'] ?? 0) * plan['Actual Loops']);
  const name = `${plan['Node Type']}${direction}${over ? ` on ${over}` : ''} ${rows}${dropped ? ` (filtered ${dropped})` : ''}`;
  const below = (plan.Plans ?? []).filter((child) => child['Actual Loops'] > 0).map(short);
  if (below.length === 0) return name;
  return `${name} < ${below.length === 1 ? below[0] : `(${below.join(', ')})`}`;
}

/** "SELECT st.id, ... FROM session_state st WHERE ...": enough to find it in the code. */
function excerpt(text) {
  const words = text.replaceAll(/\s+/g, ' ').trim();
  return words.length > 100 ? `${words.slice(0, 60)} ... ${words.slice(-36)}` : words;
}

/** The check of the caller's own session, which every request has. */
const isCheck = (text) => text.includes('credential_hash = $1');

async function signIn(url, email) {
  const answer = await fetch(`${url}/api/sign_in`, { method: 'POST', body: new URLSearchParams({ email, password }) });
  if (!answer.ok) throw new Error(`sign-in: ${answer.status} ${await answer.text()}`);
  const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(';')[0]);
  return cookies.find((cookie) => cookie.startsWith('portal_session='));
}

/** Sends a request and returns its body and duration. */
async function get(server, cookie, path) {
  const began = performance.now();
  const answer = await fetch(server.url + path, { headers: { cookie } });
  const body = await answer.text();
  const took = performance.now() - began;
  // 503: a statement exceeded its deadline.
  if (!answer.ok && answer.status !== 503) throw new Error(`${path}: ${answer.status} ${body}`);
  return { body, took, refused: !answer.ok };
}

/** The requests of an administrator, by label. */
async function questions(server, cookie, ofOrganization) {
  const list = '/api/v1/admin/sessions';
  const page = async (query) => JSON.parse((await get(server, cookie, `${list}?${query}`)).body);
  const first = await page('');
  const someone = first.sessions.find(({ user }) => user.email.startsWith('person-'));
  const name = someone.user.email.split('@')[0];
  let tenth = '';
  for (let n = 1; n < 10; n += 1) {
    const { next } = await page(`after=${tenth}`);
    // With few sessions, the last page.
    if (!next) break;
    tenth = next;
  }
  const desktops = (await page('kind=desktop&role=vendor')).total;
  console.log(`sessions in scope: ${first.total}; vendors' desktop apps: ${desktops}`);
  return [
    ['first page, with its total', list],
    ['tenth page', `${list}?after=${tenth}`],
    [`search by part of an email`, `${list}?q=${name}`],
    ['search by address', `${list}?q=${someone.ip_address}`],
    ['search by network', `${list}?q=10.77.0.0/16`],
    ['desktop apps of vendors', `${list}?kind=desktop&role=vendor`],
    ['ended sessions', `${list}?state=ended`],
    ['live and ended sessions', `${list}?state=all`],
    ['sorted by user', `${list}?sort=person`],
    ['audit log, first page', '/api/v1/admin/audit'],
    ['audit log of a user', `/api/v1/admin/audit?person=${name}`],
    ['sessions page', '/dashboard/admin/sessions'],
    ['health page', '/dashboard/admin/health'],
    ...(ofOrganization ? [['CSV of the organization', `${list}.csv`]] : []),
  ];
}

// Slow statements are printed below, so do not log them.
const settings = { PORTAL_DEMO: 'off', RUST_LOG: 'error' };
const server = await startServer(binary, site, settings, (portal) => {
  const size = ['--people', values.people, '--sessions', values.sessions];
  process.stdout.write(portal.command(['seed', ...size]));
  loadExplain(portal);
});
try {
  const accounts = [
    ['a system administrator', 'everyone@example.com', 'system_admin', []],
    ['the administrator of one organization', 'one@example.com', 'admin', ['--organization', 'Seeded Brokerage 1']],
  ];
  const asked = [];
  for (const [who, email, role, more] of accounts) {
    server.command(
      ['user', 'create', '--email', email, '--name', 'Bench', '--role', role, ...more, '--password-stdin'],
      password,
    );
    const cookie = await signIn(server.url, email);
    console.log(`\n${who}`);
    for (const [what, path] of await questions(server, cookie, more.length > 0)) {
      const times = [];
      let bytes = 0;
      let refusals = 0;
      for (let n = 0; n < rounds; n += 1) {
        const { took, body, refused } = await get(server, cookie, path);
        times.push(took);
        bytes = body.length;
        refusals += refused ? 1 : 0;
      }
      const [middle, worst] = [median(times), Math.max(...times)];
      const slow = middle > LIMIT && !path.includes('.csv');
      if (slow || refusals > 0) process.exitCode = 1;
      console.log(
        `  ${what.padEnd(30)}median ${middle.toFixed(0).padStart(6)} ms, maximum ${worst.toFixed(0).padStart(6)} ms, ` +
          `${(bytes / 1000).toFixed(0)} kB${slow ? ', over the limit' : ''}${refusals > 0 ? `, ${refusals} times 503` : ''}`,
      );
      asked.push({ who, what, path, cookie });
    }
  }
  await explain(server);
  for (const { who, what, path, cookie } of asked) {
    const from = statSync(server.log).size;
    await get(server, cookie, path);
    // The export has one statement per page: print one. For other requests print the slowest.
    const all = statements(logged(server, from)).filter(({ text }) => !isCheck(text));
    const slowest = all.toSorted((a, b) => b.ms - a.ms);
    console.log(`\n${what}, ${who}`);
    for (const { ms, text, plan } of slowest.slice(0, path.includes('.csv') ? 1 : 2)) {
      console.log(`  ${ms.toFixed(1)} ms: ${excerpt(text)}\n    ${short(plan)}`);
    }
  }
} finally {
  await server.stop();
}
