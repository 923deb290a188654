// How soon is a revoked device out? And what does checking a session cost?
//
//   node bench/revocation.mjs [SERVER] [SITE] [ROUNDS]
//
// Each round signs in a browser and two desktops that ask without a pause whether they are signed in, and presses Sign
// Out All Devices in the browser. Every request that a desktop begins after the answer has come must be refused: how
// many were not is printed, and the exit status is 1 if there was one. Both desktops also listen to their session's
// events: when each hears of its end is printed as well, and a stream that stays open fails the run. Times are of this machine and this run; the
// ratio at the end compares two addresses side by side.
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

/** Asks until told to stop; notes when each request began and what it was answered. */
async function poll(url, token, until, seen) {
  while (!until.done) {
    const began = performance.now();
    const answer = await fetch(`${url}/api/v1/session_state`, { headers: { authorization: `Bearer ${token}` } });
    await answer.arrayBuffer();
    seen.push({ began, ended: performance.now(), status: answer.status });
  }
}

/** Listens to the session's events. `closed` is when the end was told and the stream closed. */
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
    if (!text.includes('event: session_ended')) throw new Error(`a stream closed without a word: ${text}`);
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
  console.log(`requests of desktops                      ${sum('requests')}, of which ${sum('after')} began after the answer`);
  console.log(`accepted after the answer                 ${acceptedAfter}`);
  for (const [label, field] of [['pressed until answered', 'answered'], ['pressed until the last accepted request', 'out'], ['pressed until every stream was told, closed', 'told']]) {
    const times = results.map((result) => result[field]);
    console.log(`${label.padEnd(46)}median ${ms(median(times))}, most ${ms(Math.max(...times))}`);
  }
  const authorization = `Bearer ${await signInDesktop(server.url, 'bench-latency')}`;
  await latencies(server.url, '/healthz', {});
  const plain = await latencies(server.url, '/healthz', {});
  const checked = await latencies(server.url, '/api/v1/session_state', { authorization });
  console.log(`a checked request against /healthz        ${(checked / plain).toFixed(1)} times (${ms(checked)} against ${ms(plain)})`);
  if (acceptedAfter > 0) process.exitCode = 1;
} finally {
  await server.stop();
}
