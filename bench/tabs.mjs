// Measures when the tabs of a browser show that it was signed out from elsewhere.
//
//   node bench/tabs.mjs [SERVER] [SITE] [ROUNDS] [ROUNDS-OF-ALL]
//
// Two browsers of one user in real Chromium: A shows the settings, B has five tabs. Each round presses "Sign out" for B in A and
// records when each tab of B opens its dialog. Then come rounds of Sign Out All Devices, in which B's cookie is also used
// without a pause. Time starts with the click in A's page. All pages share the clock of this machine, and the difference
// between their clocks is printed. The tabs are idle before the click, and headless Chromium treats all of them as visible.
//
// The run fails if a tab never opens its dialog, or if a cookie is accepted after the answer. No duration fails it.
import { Browser, USER_AGENT, pause, startChromium, until } from './browser.mjs';
import { startServer } from './server.mjs';

const [binary = 'target/release/broker-portal', site = 'target/release/site', rounds = '30', roundsOfAll = '10'] =
  process.argv.slice(2);
const account = { email: 'broker@demo.example', password: 'demo-portal-pass' };

const [SETTINGS, DASHBOARD] = ['/dashboard/settings', '/dashboard'];

/** Long enough for the messages of a sign-in to other tabs. */
const SETTLE = 300;

const sorted = (numbers) => numbers.toSorted((a, b) => a - b);
const quantile = (numbers, part) => sorted(numbers)[Math.min(numbers.length - 1, Math.floor(numbers.length * part))];
const median = (numbers) => quantile(numbers, 0.5);
const ms = (number) => `${number.toFixed(1)} ms`;

/** Presses `button` in A and waits for the tabs of B. All times start at the click. */
async function press(a, b, button, endpoint) {
  const [tab] = a.tabs;
  const [response, moments] = await Promise.all([
    tab.page.waitForResponse((response) => new URL(response.url()).pathname === endpoint),
    Promise.all(b.tabs.map((other) => other.when('ended'))),
    button.click(),
  ]);
  if (!response.ok()) throw new Error(`${endpoint}: ${response.status()}`);
  const clicked = await tab.when('clicked');
  const told = b.tabs.map((other) => other.moments.get('told')).filter(Boolean);
  const since = ({ at }) => at - clicked.at;
  const offset = ({ at, wall }) => at - wall - (clicked.at - clicked.wall);
  return {
    clicked: clicked.at,
    request: response.request().timing().responseEnd,
    told: Math.min(...told.map(since)),
    slowest: Math.max(...moments.map(since)),
    middle: median(moments.map(since)),
    apart: Math.max(...moments.map((moment) => Math.abs(offset(moment)))),
  };
}

async function roundOfOne(a, b) {
  const session = await b.signIn(account);
  const [tab] = a.tabs;
  const button = tab.page.locator(`[id="sign-out-${session}"]`);
  await button.waitFor();
  await pause(SETTLE);
  tab.forget();
  return press(a, b, button, '/api/revoke_session');
}

/** Uses a cookie until stopped. With the User-Agent of its browser, because the portal would revoke it otherwise. */
async function useCookie(url, browser, state) {
  const headers = { cookie: await browser.cookie(), 'user-agent': USER_AGENT };
  while (!state.done) {
    const began = performance.now();
    const answer = await fetch(`${url}/api/v1/session_state`, { headers });
    await answer.arrayBuffer();
    state.seen.push({ began, ended: performance.now(), status: answer.status });
  }
}

/** Presses Sign Out All Devices while B's cookie is in use, and stops a moment later. */
async function pressWhileUsed(a, b, button, state) {
  const endpoint = '/api/sign_out_all_devices';
  const isAnswered = (request) => new URL(request.url()).pathname === endpoint;
  try {
    await until('an accepted cookie', () => state.seen.some(({ status }) => status === 200));
    const [result] = await Promise.all([
      press(a, b, button, endpoint),
      // Measured with this process's clock, after the answer. Every later request must be refused.
      a.tabs[0].page.waitForEvent('requestfinished', isAnswered).then(() => (state.answered = performance.now())),
    ]);
    await pause(60);
    return result;
  } finally {
    state.done = true;
  }
}

async function roundOfAll(url, a, b) {
  await b.signIn(account);
  const [tab] = a.tabs;
  const confirms = tab.page.locator('#sign-out-all button[type=submit]');
  await tab.page.getByRole('button', { name: 'Sign Out All Devices' }).click();
  await confirms.waitFor();
  // The dialog reloads its list when it opens. Wait for that.
  await pause(SETTLE);
  tab.forget();
  const state = { done: false, seen: [] };
  const [result] = await Promise.all([pressWhileUsed(a, b, confirms, state), useCookie(url, b, state)]);
  const after = state.seen.filter(({ began }) => began > state.answered);
  const refused = state.seen.find(({ status }) => status === 401);
  const lastAccepted = state.seen.findLast(({ status }) => status === 200);
  if (!refused) throw new Error('the cookie was never refused');
  // A was signed out too: prepare the next round.
  await a.signIn(account);
  return {
    ...result,
    used: Math.max(0, performance.timeOrigin + lastAccepted.began - result.clicked),
    refused: performance.timeOrigin + refused.ended - result.clicked,
    refusal: refused.ended - refused.began,
    after: after.length,
    acceptedAfter: after.filter(({ status }) => status !== 401).length,
  };
}

function print(label, times) {
  const figures = `median ${ms(median(times))}, 95 % ${ms(quantile(times, 0.95))}, maximum ${ms(Math.max(...times))}`;
  console.log(`  ${label.padEnd(50)}${figures}`);
}

function report(title, results, more = []) {
  console.log(`${title}, ${results.length} rounds of five tabs`);
  const figures = [
    ['click until the dialog of the slowest tab', 'slowest'],
    ['click until the dialog of the middle tab', 'middle'],
    ['click until the first tab was told', 'told'],
    ...more,
    ['the revoking request alone, sent until answered', 'request'],
  ];
  for (const [label, field] of figures) print(label, results.map((result) => result[field]));
  const ratio = median(results.map(({ slowest, request }) => slowest / request));
  console.log(`  ${'slowest tab compared with the request'.padEnd(50)}${ratio.toFixed(1)} times (median)`);
  const apart = Math.max(...results.map((result) => result.apart));
  console.log(`  ${'largest difference between page clocks'.padEnd(50)}${ms(apart)}`);
}

const server = await startServer(binary, site);
try {
  const chromium = await startChromium();
  try {
    const a = await Browser.open(chromium, server.url, [SETTINGS]);
    const b = await Browser.open(chromium, server.url, [DASHBOARD, SETTINGS, DASHBOARD, SETTINGS, DASHBOARD]);
    await a.signIn(account);
    const ofOne = [];
    for (let n = 0; n < Number(rounds); n += 1) ofOne.push(await roundOfOne(a, b));
    report('"Sign out" at one browser', ofOne);
    const ofAll = [];
    for (let n = 0; n < Number(roundsOfAll); n += 1) ofAll.push(await roundOfAll(server.url, a, b));
    report('Sign Out All Devices', ofAll, [
      ['click until the last accepted request began', 'used'],
      ['click until the cookie was refused', 'refused'],
      ['the refused request alone', 'refusal'],
    ]);
    const sum = (field) => ofAll.reduce((total, result) => total + result[field], 0);
    console.log(`  requests with the cookie after the answer         ${sum('after')}, of which accepted ${sum('acceptedAfter')}`);
    if (sum('acceptedAfter') > 0) process.exitCode = 1;
  } finally {
    await chromium.close();
  }
} finally {
  await server.stop();
}
