import type { BrowserContext } from '@playwright/test';

/**
 * Notes whatever a page does that none of ours may do: a warning or an error in the console (a hydration that does not
 * fit, a breach of the Content-Security-Policy), an uncaught error, a request to another site.
 */
export class Watch {
  private readonly seen: string[] = [];
  private readonly expected: RegExp[] = [];
  private readonly origins: string[];

  constructor(origin: string, scripted: boolean) {
    this.origins = [origin];
    if (!scripted) {
      // The browser fetches the script ahead of need and then is not allowed to run it.
      this.expect(/was preloaded using link preload but not used/);
    }
  }

  over(context: BrowserContext) {
    context.on('console', message => {
      if (['error', 'warning', 'assert'].includes(message.type())) {
        this.seen.push(`console ${message.type()}: ${message.text()} (${message.location().url})`);
      }
    });
    context.on('weberror', error => this.seen.push(`uncaught: ${error.error().stack ?? error.error()}`));
    context.on('request', request => {
      const { protocol, origin } = new URL(request.url());
      if (/^https?:$/.test(protocol) && !this.origins.includes(origin)) {
        this.seen.push(`request to another site: ${request.url()}`);
      }
    });
  }

  /** The portal is at this address too: what stands before it, or another node. */
  alsoAt(origin: string) {
    this.origins.push(origin);
  }

  /** The test causes such messages itself: browsers write every refused request to the console. */
  expect(...patterns: RegExp[]) {
    this.expected.push(...patterns);
  }

  get problems(): string[] {
    return this.seen.filter(problem => !this.expected.some(pattern => pattern.test(problem)));
  }
}

/** What a browser writes to the console when a request that a page sent came back with `status`. */
export const refusedWith = (status: number) => new RegExp(`Failed to load resource: .* status of ${status}`);

/** The same when no answer came. */
export const NO_ANSWER = /Failed to load resource: net::ERR_/;
