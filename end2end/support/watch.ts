import type { BrowserContext } from '@playwright/test';

/**
 * Collects unexpected errors in pages: console warnings and errors (such as hydration mismatches and violations of the
 * Content-Security-Policy), uncaught errors, and requests to other sites.
 */
export class Watch {
  private readonly seen: string[] = [];
  private readonly expected: RegExp[] = [];
  private readonly origins: string[];

  constructor(origin: string, scripted: boolean) {
    this.origins = [origin];
    if (!scripted) {
      // The browser preloads the script but may not run it.
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

  /** Allows another origin of the portal: a proxy or another node. */
  alsoAt(origin: string) {
    this.origins.push(origin);
  }

  /** Expects messages that the test causes itself: browsers log every failed request. */
  expect(...patterns: RegExp[]) {
    this.expected.push(...patterns);
  }

  get problems(): string[] {
    return this.seen.filter(problem => !this.expected.some(pattern => pattern.test(problem)));
  }
}

/** Matches the console message for a response with `status`. */
export const refusedWith = (status: number) => new RegExp(`Failed to load resource: .* status of ${status}`);

/** Matches the console message for a request without a response. */
export const NO_ANSWER = /Failed to load resource: net::ERR_/;
