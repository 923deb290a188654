import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';

/** A psql that stays connected. To start one for each statement would take a tenth of a second on Debian. */
export class Psql {
  private readonly child: ChildProcessWithoutNullStreams;
  private output = '';
  private errors = '';
  private last: Promise<unknown> = Promise.resolve();

  constructor(database: string, PATH: string | undefined) {
    const args = ['--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '--set', 'ON_ERROR_STOP=1', database];
    this.child = spawn('psql', args, { env: { PATH } });
    this.child.stdout.on('data', text => (this.output += text));
    this.child.stderr.on('data', text => (this.errors += text));
    // A psql that ended is reported by its `close` event.
    this.child.stdin.on('error', () => {});
  }

  /** Executes a statement after the earlier ones and returns what it selects. */
  execute(statement: string): Promise<string> {
    const result = this.last.then(() => this.send(statement));
    this.last = result.catch(() => {});
    return result;
  }

  private send(statement: string): Promise<string> {
    const end = randomUUID();
    this.output = '';
    return new Promise((resolve, reject) => {
      const read = () => {
        if (this.output.includes(end)) {
          this.child.stdout.off('data', read);
          this.child.off('close', fail);
          resolve(this.output.replace(end, '').trim());
        }
      };
      const fail = () => reject(new Error(`psql ended: ${this.errors}\n${statement}`));
      this.child.once('close', fail);
      this.child.stdout.on('data', read);
      this.child.stdin.write(`${statement};\n\\echo ${end}\n`);
    });
  }

  end() {
    this.child.stdin.end();
  }
}
