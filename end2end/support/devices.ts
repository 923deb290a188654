import { randomUUID } from 'node:crypto';

import type { TestUser } from './portal';

/** How a browser appears to the server: User-Agent and address. */
export interface Appearance {
  userAgent: string;
  extraHTTPHeaders: { 'x-forwarded-for': string };
}

/** The browser of the tests. The server names it "Chrome on Windows". */
export const CHROME_ON_WINDOWS: Appearance = {
  userAgent:
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36',
  extraHTTPHeaders: { 'x-forwarded-for': '203.0.113.7' },
};

/** "Firefox on macOS" */
export const FIREFOX_ON_MACOS: Appearance = {
  userAgent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0',
  extraHTTPHeaders: { 'x-forwarded-for': '198.51.100.20' },
};

/** "Safari on iPhone" */
export const SAFARI_ON_IPHONE: Appearance = {
  userAgent:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 ' +
    'Mobile/15E148 Safari/604.1',
  extraHTTPHeaders: { 'x-forwarded-for': '192.0.2.80' },
};

/** The desktop app as the server sees it. */
export class Desktop {
  private constructor(
    private readonly url: string,
    private readonly accessToken: string,
    readonly name: string,
  ) {}

  static async signIn(url: string, person: TestUser, name = "Maria's MacBook"): Promise<Desktop> {
    const answer = await fetch(`${url}/api/v1/sessions`, {
      method: 'POST',
      headers: { ...DESKTOP_HEADERS, 'content-type': 'application/json' },
      body: JSON.stringify({
        email: person.email,
        password: person.password,
        device: { device_id: randomUUID(), device_name: name, os: 'macOS 15', platform: 'Apple silicon' },
      }),
    });
    if (answer.status !== 201) {
      throw new Error(`the desktop was not signed in: ${answer.status} ${await answer.text()}`);
    }
    const { access_token } = await answer.json();
    return new Desktop(url, access_token, name);
  }

  async get(path: string): Promise<{ status: number; body: any }> {
    const headers = { ...DESKTOP_HEADERS, authorization: `Bearer ${this.accessToken}` };
    const answer = await fetch(this.url + path, { headers });
    return { status: answer.status, body: await answer.json() };
  }

  /** Its sessions according to the server. */
  async sessions(): Promise<{ id: string; device_name: string; kind: string; is_current: boolean }[]> {
    return (await this.get('/api/v1/sessions')).body.sessions;
  }
}

const DESKTOP_HEADERS = { 'user-agent': 'Broker Portal Desktop/2.4.0', 'x-forwarded-for': '198.51.100.4' };
