// A server of the benchmark's own: free port, private Postgres, demo accounts, gone at the end.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, chmodSync, rmSync, readFileSync, existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

/** Starts `binary` and gives its address, a function that stops it and one that runs an operator's command beside it. */
export async function startServer(binary, site, settings = {}) {
  const data = mkdtempSync(join(tmpdir(), 'portal-bench-'));
  chmodSync(data, 0o755);
  const address = `127.0.0.1:${await freePort()}`;
  const { DATABASE_URL: _, ...environment } = process.env;
  const env = {
    ...environment,
    LEPTOS_SITE_ADDR: address,
    LEPTOS_SITE_ROOT: site,
    PORTAL_DATA_DIR: data,
    RUST_LOG: 'warn',
    ...settings,
  };
  const server = spawn(binary, ['serve'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const command = (words, input) => {
    const { status, stderr } = spawnSync(binary, words, { env, input, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr}`);
  };
  const exited = new Promise((resolve) => server.once('exit', resolve));
  const stop = async () => {
    server.kill('SIGTERM');
    await exited;
    const moved = join(data, 'postgres.moved');
    if (existsSync(moved)) rmSync(readFileSync(moved, 'utf8').trim(), { recursive: true, force: true });
    rmSync(data, { recursive: true, force: true });
  };
  const url = `http://${address}`;
  for (let attempt = 0; attempt < 600; attempt += 1) {
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
    const ready = await fetch(`${url}/readyz`).catch(() => null);
    if (ready?.ok) return { url, stop, command, pid: server.pid };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stop();
  throw new Error('the server was not ready within a minute');
}
