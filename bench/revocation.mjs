// Measures revocation latency and the cost of a session check.
//
//   node bench/revocation.mjs [SERVER] [SITE] [ROUNDS]
//
// Each round signs in a browser and two desktop apps, which request their session state without a pause, and presses Sign Out
// All Devices in the browser. Every request that a desktop app begins after the answer must be refused. The number of accepted
// ones is printed, and the exit status is 1 if there is one. Both desktop apps also have an event stream: the time until it
// reports the end is printed, and a stream that stays open fails the run. The ratio at the end compares two addresses.
import { startServer } from './server.mjs';

const [binary = 'target/release/broker-portal', site = 'target/release/site', rounds = '30'] = process.argv.slice(2);
const account = { email: 'broker@demo.example', password: 'demo-portal-pass' };

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const ms = (number) => `${number.toFixed(1)} ms`;

async function signInBrowser(url) {
  const answer = await fetch(`${url}/api/sign_in`, { method: 'POST', body: new URLSearchParams(account) });
  if (!answer.ok) throw new Error(`sign-in: ${answer.status}`);
  const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(';')[0]);
  return cookies.find((cookie) => cookie.startsWith('portal_session='));
}

async function signInDesktop(url, name) {
  const device = { device_id: name, device_name: name, os: 'Linux', platform: 'linux-x64' };
  const answer = await fetch(`${url}/api/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...account, device }),
  });
  if (answer.status !== 201) throw new Error(`desktop sign-in: ${answer.status}`);
  return (await answer.json()).access_token;
}

/** Sends requests until stopped; records the start and status of each. */
async function poll(url, token, until, seen) {
  while (!until.done) {
    const began = performance.now();
    const answer = await fetch(`${url}/api/v1/session_state`, { headers: { authorization: `Bearer ${token}` } });
    await answer.arrayBuffer();
    seen.push({ began, ended: performance.now(), status: answer.status });
  }
}

/** Reads the event stream. `closed` is the time when it had reported the end and closed. */
async function listen(url, token) {
  const answer = await fetch(`${url}/api/v1/session/events`, { headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(`events: ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let { value: text } = await reader.read();
  const closed = (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
    }
    if (!text.includes('event: session_ended')) throw new Error(`a stream closed without session_ended: ${text}`);
    return performance.now();
  })();
  return { closed };
}

async function round(url, number) {
  const cookie = await signInBrowser(url);
  const tokens = await Promise.all(['a', 'b'].map((name) => signInDesktop(url, `bench-${name}`)));
  const streams = await Promise.all(tokens.map((token) => listen(url, token)));
  const until = { done: false };
  const seen = [];
  const polls = tokens.map((token) => poll(url, token, until, seen));
  await new Promise((resolve) => setTimeout(resolve, 40 + (number % 7) * 5));
  const pressed = performance.now();
  const answer = await fetch(`${url}/api/sign_out_all_devices`, { method: 'POST', headers: { cookie } });
  await answer.arrayBuffer();
  const answered = performance.now();
  if (!answer.ok) throw new Error(`sign out: ${answer.status}`);
  await new Promise((resolve) => setTimeout(resolve, 60));
  until.done = true;
  await Promise.all(polls);
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error('a stream stays open')), 10_000).unref());
  const told = await Promise.race([Promise.all(streams.map((stream) => stream.closed)), late]);
  const accepted = seen.filter((request) => request.status === 200);
  const lastAccepted = Math.max(...accepted.map((request) => request.began));
  return {
    requests: seen.length,
    after: seen.filter((request) => request.began > answered).length,
    acceptedAfter: accepted.filter((request) => request.began > answered).length,
    answered: answered - pressed,
    out: Math.max(0, lastAccepted - pressed),
    told: Math.max(...told) - pressed,
  };
}

async function latencies(url, path, headers) {
  const times = [];
  for (let n = 0; n < 400; n += 1) {
    const began = performance.now();
    await (await fetch(url + path, { headers })).arrayBuffer();
    times.push(performance.now() - began);
  }
  return median(times);
}

const server = await startServer(binary, site);
try {
  const results = [];
  for (let n = 0; n < Number(rounds); n += 1) results.push(await round(server.url, n));
  const sum = (field) => results.reduce((total, result) => total + result[field], 0);
  const acceptedAfter = sum('acceptedAfter');
  console.log(`rounds                                    ${results.length}`);
  console.log(`requests of desktop apps                  ${sum('requests')}, of which ${sum('after')} began after the answer`);
  console.log(`accepted after the answer                 ${acceptedAfter}`);
  for (const [label, field] of [['from click to answer', 'answered'], ['from click to last accepted request', 'out'], ['from click to close of every stream', 'told']]) {
    const times = results.map((result) => result[field]);
    console.log(`${label.padEnd(46)}median ${ms(median(times))}, maximum ${ms(Math.max(...times))}`);
  }
  const authorization = `Bearer ${await signInDesktop(server.url, 'bench-latency')}`;
  await latencies(server.url, '/healthz', {});
  const plain = await latencies(server.url, '/healthz', {});
  const checked = await latencies(server.url, '/api/v1/session_state', { authorization });
  console.log(`session check compared with /healthz      ${(checked / plain).toFixed(1)} times (${ms(checked)} against ${ms(plain)})`);
  if (acceptedAfter > 0) process.exitCode = 1;
} finally {
  await server.stop();
}
