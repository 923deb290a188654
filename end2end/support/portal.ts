import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { Psql } from './psql';

const ROOT = path.resolve(__dirname, '../..');
const TARGET = path.resolve(ROOT, process.env.CARGO_TARGET_DIR || 'target');
const SERVER = path.join(TARGET, 'debug/broker-portal');
const SITE = path.resolve(ROOT, process.env.LEPTOS_SITE_ROOT || path.join(TARGET, 'site'));

/** Where the server keeps databases that cannot be in the data directory. */
const ELSEWHERE = '/var/lib/broker-portal/';

/** Log messages that only a bug causes; the last ones are from Leptos. */
const COMPLAINT = /panicked|overflowed|"level":"ERROR"|you are reading a resource|hydration/;

/** The usual password of users. */
const PASSWORD = 'correct horse battery staple';

const START_LIMIT = 60_000;
const STOP_LIMIT = 20_000;

export interface TestUser {
  email: string;
  name: string;
  password: string;
  organization: string;
}

/** The real server with its own port and database. */
export class Portal {
  private people = 0;
  private psql?: Psql;
  /** The hash of the usual password, after the first user was created. */
  private passwordHash?: string;

  private constructor(
    readonly url: string,
    private readonly directory: string,
    private readonly environment: NodeJS.ProcessEnv,
    private server: ChildProcess,
  ) {}

  /** Starts a server with `extra` settings beside those that every test needs. */
  static async start(extra: Record<string, string> = {}): Promise<Portal> {
    // The user that runs Postgres must be able to enter it.
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'broker-portal-e2e-'));
    fs.chmodSync(directory, 0o755);
    const address = `127.0.0.1:${await freePort()}`;
    const { PATH, HOME, LANG } = process.env;
    const environment = {
      PATH,
      HOME,
      LANG,
      PORTAL_DATA_DIR: path.join(directory, 'data'),
      LEPTOS_SITE_ADDR: address,
      LEPTOS_SITE_ROOT: SITE,
      PORTAL_DEMO: 'off',
      // Devices set their address with X-Forwarded-For.
      PORTAL_TRUSTED_PROXIES: '127.0.0.1/32',
      ...extra,
    };
    const portal = new Portal(`http://${address}`, directory, environment, serve(directory, environment));
    try {
      await portal.ready();
    } catch (error) {
      portal.server.kill('SIGKILL');
      portal.remove();
      throw error;
    }
    return portal;
  }

  private async ready() {
    const began = Date.now();
    let failed: Error | undefined;
    this.server.once('error', error => (failed = error));
    while (Date.now() - began < START_LIMIT) {
      if (failed || this.hasEnded) {
        throw new Error(`the server did not start: ${failed ?? `exit code ${this.server.exitCode}`}\n${this.logEnd()}`);
      }
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (answer?.ok) {
        return;
      }
      await wait(50);
    }
    throw new Error(`the server was not ready after ${START_LIMIT} ms\n${this.logEnd()}`);
  }

  /** Starts another server process on the same database, with its own address. Stop it before this one. */
  async secondNode(extra: Record<string, string> = {}): Promise<Portal> {
    const { PORTAL_DATA_DIR, LEPTOS_SITE_ADDR, ...settings } = this.environment;
    return Portal.start({
      ...(settings as Record<string, string>),
      ...extra,
      DATABASE_URL: this.database,
    });
  }

  /** The private cluster of this process, whose URL is in a file while it runs. */
  private get database(): string {
    const socket = fs.readFileSync(path.join(this.directory, 'data/postgres.state'), 'utf8').trim();
    return `postgres://portal@${encodeURIComponent(socket)}:5432/portal?sslmode=disable`;
  }

  /** Changes the database directly, for states that would take days or hundreds of users. Returns what a query selects. */
  async sql(statement: string): Promise<string> {
    this.psql ??= new Psql(this.database, this.environment.PATH);
    return this.psql.execute(statement);
  }

  /** Stops the server but keeps its address and data for `resume`. */
  async pause() {
    await this.terminate();
  }

  /** Starts the server again with the same address and data. */
  async resume() {
    this.server = serve(this.directory, this.environment);
    await this.ready();
  }

  private async terminate() {
    this.psql?.end();
    this.psql = undefined;
    const ended = once(this.server, 'exit');
    this.server.kill('SIGTERM');
    const inTime = await Promise.race([ended, wait(STOP_LIMIT, undefined, { ref: false })]);
    if (!inTime) {
      this.server.kill('SIGKILL');
      await ended;
    }
    const { exitCode, signalCode } = this.server;
    if (exitCode !== 0) {
      const outcome = `exit code ${exitCode}, signal ${signalCode}`;
      throw new Error(`the server did not end well within ${STOP_LIMIT} ms of SIGTERM (${outcome})\n${this.logEnd()}`);
    }
  }

  /** Stops the server like an operator and removes its data. Fails if it did not stop cleanly. */
  async stop() {
    const { exitCode, signalCode } = this.server;
    let failed: unknown;
    if (this.hasEnded) {
      failed = new Error(`the server ended by itself (exit code ${exitCode}, signal ${signalCode})\n${this.logEnd()}`);
    } else {
      await this.terminate().catch(error => (failed = error));
    }
    const log = this.log();
    this.remove();
    if (failed) {
      throw failed;
    }
    // Reports of pages are checked by `Watch`, since a test may cause them.
    const own = log.split('\n').filter(line => !line.includes('client application failed'));
    const complaints = own.filter(line => COMPLAINT.test(line));
    if (complaints.length > 0) {
      throw new Error(`the server complained:\n${complaints.join('\n')}`);
    }
  }

  private get hasEnded(): boolean {
    return this.server.exitCode !== null || this.server.signalCode !== null;
  }

  private remove() {
    const marker = path.join(this.directory, 'data/postgres.moved');
    if (fs.existsSync(marker)) {
      const elsewhere = path.normalize(fs.readFileSync(marker, 'utf8').trim());
      if (elsewhere.startsWith(ELSEWHERE)) {
        fs.rmSync(elsewhere, { recursive: true, force: true });
      }
    }
    fs.rmSync(this.directory, { recursive: true, force: true });
  }

  /** The end of the log, for error messages. */
  private logEnd(): string {
    return this.log().slice(-20_000);
  }

  private log(): string {
    return fs.readFileSync(path.join(this.directory, 'log'), 'utf8');
  }

  /** Creates a user for this test only, or adds an existing one to another organization. */
  async register(about: Partial<TestUser> & { role?: string } = {}): Promise<TestUser> {
    this.people += 1;
    const person = {
      email: about.email ?? `maria.keller+${this.people}@example.com`,
      name: about.name ?? 'Maria Keller',
      organization: about.organization ?? 'Northwind Brokers',
      password: about.password ?? PASSWORD,
    };
    const role = about.role ?? 'broker';
    const isUsual = !about.email && person.password === PASSWORD && role !== 'system_admin';
    if (isUsual && this.passwordHash) {
      await this.insert(person, role, this.passwordHash);
      return person;
    }
    await this.command(
      ['user', 'create', '--email', person.email, '--name', person.name, '--role', role,
        ...(role === 'system_admin' ? [] : ['--organization', person.organization]), '--password-stdin'],
      person.password,
    );
    if (isUsual) {
      this.passwordHash = await this.sql(`SELECT password_hash FROM users WHERE email = '${person.email}'`);
    }
    return person;
  }

  /** Creates a user like the command, which would spend a minute of the run on hashing the same password. */
  private async insert({ email, name, organization }: TestUser, role: string, passwordHash: string) {
    await this.sql(`
      WITH created AS (
        INSERT INTO users (id, email, display_name, role, password_hash, password_changed_at, created_at)
        VALUES (gen_random_uuid(), '${email}', ${quoted(name)}, '${role}', '${passwordHash}', now(), now())
        RETURNING id
      ), joined AS (
        INSERT INTO organizations (id, name, created_at) VALUES (gen_random_uuid(), ${quoted(organization)}, now())
        ON CONFLICT (lower(name)) DO UPDATE SET name = organizations.name RETURNING id
      ), member AS (
        INSERT INTO memberships (user_id, organization_id, role, created_at)
        SELECT created.id, joined.id, '${role}', now() FROM created, joined RETURNING user_id, organization_id
      )
      INSERT INTO audit_events (at, kind, user_id, detail)
      SELECT now(), 'user_created', id, jsonb_build_object('role', '${role}') FROM created
      UNION ALL
      SELECT now(), 'membership_set', user_id, jsonb_build_object('organization_id', organization_id, 'role', '${role}')
      FROM member`);
  }

  /** Runs a command beside the running server. */
  async command(args: string[], input = ''): Promise<string> {
    return run(SERVER, args, { cwd: this.directory, env: this.environment }, input);
  }
}

/** A text as an SQL literal. */
const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** Runs a program that must succeed, and returns its output. */
async function run(program: string, args: string[], options: SpawnOptions, input: string): Promise<string> {
  const child = spawn(program, args, { ...options, stdio: 'pipe' });
  let output = '';
  child.stdout!.on('data', text => (output += text));
  child.stderr!.on('data', text => (output += text));
  child.stdin!.end(input);
  const [code] = await once(child, 'close');
  if (code !== 0) {
    throw new Error(`${path.basename(program)} ${args.join(' ')} ended with ${code}: ${output}`);
  }
  return output;
}

function serve(directory: string, environment: NodeJS.ProcessEnv): ChildProcess {
  const log = fs.openSync(path.join(directory, 'log'), 'a');
  // Not in the repository, whose portal.toml does not apply here.
  const server = spawn(SERVER, ['serve'], { cwd: directory, env: environment, stdio: ['ignore', log, log] });
  fs.closeSync(log);
  return server;
}

async function freePort(): Promise<number> {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  listener.close();
  await once(listener, 'close');
  return port;
}
