// Measures open event streams: memory per stream, request latency with and without them, and the time to stop the server while
// they are open.
//
//   node bench/streams.mjs [SERVER] [SITE] [STREAMS]
//
// Streams are limited per session and user, so the benchmark uses many users. The exit status is 1 if a stream closes early, if
// the server does not stop within ten seconds, or if it leaves a stream open.
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { startServer } from './server.mjs';

const [binary = 'target/release/broker-portal', site = 'target/release/site', streams = '1000'] = process.argv.slice(2);
const password = 'correct horse battery staple';

/** Limits of the server: streams per session, and sessions per user, whose streams it also counts. */
const OF_SESSION = 8;
const OF_PERSON = 12;

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const kilobytes = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

async function signIn(url, email, number) {
  const device = { device_id: `bench-${number}`, device_name: `bench ${number}`, os: 'Linux', platform: 'linux-x64' };
  const answer = await fetch(`${url}/api/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password, device }),
  });
  if (answer.status !== 201) throw new Error(`sign-in: ${answer.status} ${await answer.text()}`);
  return `Bearer ${(await answer.json()).access_token}`;
}

/** Creates the sessions and users that the streams need. */
async function signInAll(server) {
  const sessions = [];
  for (let n = 0; n * OF_SESSION < Number(streams); n += 1) {
    const email = `bench-${Math.floor(n / OF_PERSON)}@example.com`;
    if (n % OF_PERSON === 0) {
      const about = ['--email', email, '--name', 'Bench', '--role', 'broker', '--organization', 'Bench'];
      server.command(['user', 'create', ...about, '--password-stdin'], password);
    }
    sessions.push(await signIn(server.url, email, n));
  }
  return sessions;
}

const server = await startServer(binary, site, { PORTAL_MAX_SESSIONS_BROKER: String(OF_PERSON) });
let stopped = false;
try {
  const sessions = await signInAll(server);
  const [authorization] = sessions;
  const checks = async () => {
    const times = [];
    for (let n = 0; n < 400; n += 1) {
      const began = performance.now();
      await (await fetch(`${server.url}/api/v1/session_state`, { headers: { authorization } })).arrayBuffer();
      times.push(performance.now() - began);
    }
    return median(times);
  };

  await checks();
  const without = await checks();
  const before = kilobytes(server.pid);
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  let closed = 0;
  const open = (number) =>
    new Promise((resolve, reject) => {
      const headers = { authorization: sessions[Math.floor(number / OF_SESSION)] };
      const request = get(`${server.url}/api/v1/session/events`, { agent, headers }, (stream) => {
        if (stream.statusCode !== 200) reject(new Error(`events: ${stream.statusCode}`));
        stream.once('data', resolve);
        stream.on('close', () => (closed += 1));
      });
      request.on('error', reject);
    });
  // A hundred at a time, so that the benchmark's own connections do not queue.
  for (let n = 0; n < Number(streams); n += 100) {
    await Promise.all(Array.from({ length: Math.min(100, Number(streams) - n) }, (_, m) => open(n + m)));
  }
  const after = kilobytes(server.pid);
  const beside = await checks();
  const closedEarly = closed;
  const began = performance.now();
  await server.stop();
  stopped = true;
  const took = performance.now() - began;
  await new Promise((resolve) => setTimeout(resolve, 100));

  console.log(`open streams                              ${Number(streams) - closedEarly}, of ${sessions.length} sessions`);
  console.log(`memory per stream                         ${((after - before) / Number(streams)).toFixed(1)} kB (${before} kB without, ${after} kB with them)`);
  console.log(`session check beside them                 ${(beside / without).toFixed(2)} times as long as without them (${beside.toFixed(2)} ms against ${without.toFixed(2)} ms)`);
  console.log(`stop to exit of the server                ${took.toFixed(0)} ms, with ${closed} streams closed`);
  if (closedEarly > 0 || took > 10_000 || closed < Number(streams)) process.exitCode = 1;
} finally {
  if (!stopped) await server.stop();
}
