// A server for benchmarks: free port, private Postgres, demo accounts, removed at the end.
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

/**
 * Starts `binary`. Returns its address, a function that stops it, and one that runs an operator's command. `prepare` is called
 * before, with the latter function and one that finds the folder of the private Postgres.
 */
export async function startServer(binary, site, settings = {}, prepare = () => {}) {
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
  const command = (words, input) => {
    const { status, stdout, stderr } = spawnSync(binary, words, { env, input, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr}`);
    return stdout;
  };
  const moved = join(data, 'postgres.moved');
  // If other users cannot read the data directory, a server running as root puts Postgres elsewhere.
  const postgres = () => (existsSync(moved) ? readFileSync(moved, 'utf8').trim() : join(data, 'postgres'));
  const remove = () => {
    if (existsSync(moved)) rmSync(postgres(), { recursive: true, force: true });
    rmSync(data, { recursive: true, force: true });
  };
  try {
    prepare({ command, postgres });
  } catch (error) {
    remove();
    throw error;
  }
  const server = spawn(binary, ['serve'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise((resolve) => server.once('exit', resolve));
  const stop = async () => {
    server.kill('SIGTERM');
    await exited;
    remove();
  };
  const url = `http://${address}`;
  for (let attempt = 0; attempt < 600; attempt += 1) {
    if (server.exitCode !== null) throw new Error(`the server exited with ${server.exitCode}`);
    const ready = await fetch(`${url}/readyz`).catch(() => null);
    if (ready?.ok) return { url, stop, command, pid: server.pid, postgres, log: join(data, 'postgres.log') };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stop();
  throw new Error('the server was not ready within a minute');
}
