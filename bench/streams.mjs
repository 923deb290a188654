// What do open streams cost? Memory a stream, the latency of ordinary requests with and without them, and how long the
// server takes to stop while they are open.
//
//   node bench/streams.mjs [SERVER] [SITE] [STREAMS]
//
// The exit status is 1 if the server does not stop within ten seconds or leaves a stream open.
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { startServer } from './server.mjs';

const [binary = 'target/release/broker-portal', site = 'target/release/site', streams = '1000'] = process.argv.slice(2);
const account = { email: 'broker@demo.example', password: 'demo-portal-pass' };
const device = { device_id: 'bench', device_name: 'bench', os: 'Linux', platform: 'linux-x64' };

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const kilobytes = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

const server = await startServer(binary, site);
let stopped = false;
try {
  const answer = await fetch(`${server.url}/api/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...account, device }),
  });
  const authorization = `Bearer ${(await answer.json()).access_token}`;
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
  const open = () =>
    new Promise((resolve, reject) => {
      const request = get(`${server.url}/api/v1/session/events`, { agent, headers: { authorization } }, (stream) => {
        if (stream.statusCode !== 200) reject(new Error(`events: ${stream.statusCode}`));
        stream.once('data', resolve);
        stream.on('close', () => (closed += 1));
      });
      request.on('error', reject);
    });
  // A hundred at a time: the benchmark's own connections must not queue up.
  for (let n = 0; n < Number(streams); n += 100) {
    await Promise.all(Array.from({ length: Math.min(100, Number(streams) - n) }, open));
  }
  const after = kilobytes(server.pid);
  const beside = await checks();
  const began = performance.now();
  await server.stop();
  stopped = true;
  const took = performance.now() - began;
  await new Promise((resolve) => setTimeout(resolve, 100));

  console.log(`open streams                              ${streams}`);
  console.log(`memory a stream                           ${((after - before) / Number(streams)).toFixed(1)} kB (${before} kB without, ${after} kB with them)`);
  console.log(`a checked request beside them             ${(beside / without).toFixed(2)} times one without them (${beside.toFixed(2)} ms against ${without.toFixed(2)} ms)`);
  console.log(`told to stop, the server was gone after   ${took.toFixed(0)} ms, with ${closed} streams closed`);
  if (took > 10_000 || closed < Number(streams)) process.exitCode = 1;
} finally {
  if (!stopped) await server.stop();
}
