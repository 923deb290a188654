import { visit } from '../support/hydration';
import { expect, signIn, test } from '../support/test';

const PAGES = [
  '/login',
  '/login?reason=revoked&next=/dashboard',
  '/dashboard',
  '/dashboard/settings',
  '/dashboard/settings/sign-out-all',
  '/dashboard/settings/sign-out-others',
  '/dashboard/confirm-password?for=sign_out_all_devices',
];

for (const path of PAGES) {
  test(`hydration of ${path} matches the server’s HTML`, { tag: '@with-script' }, async ({
    page,
    person,
    openDesktop,
  }) => {
    if (path.startsWith('/dashboard')) {
      await openDesktop();
      await signIn(page, person);
    }
    await visit(page, path);
    const written = await (await page.context().request.get(path)).text();
    // Except times, which are converted to the reader's zone.
    const [server, browser] = await page.evaluate(html => {
      const outline = (body: HTMLElement) => {
        body.querySelectorAll('script').forEach(script => script.remove());
        body.querySelectorAll('time').forEach(time => time.replaceChildren());
        return [...body.querySelectorAll('*')].map(({ tagName, childNodes }) => {
          const texts = [...childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.textContent);
          return `${tagName} ${texts.join('').replace(/\s+/g, ' ').trim()}`;
        });
      };
      const parsed = new DOMParser().parseFromString(html, 'text/html').body;
      return [outline(parsed), outline(document.body.cloneNode(true) as HTMLElement)];
    }, written);
    expect(browser).toEqual(server);
    expect(browser.length).toBeGreaterThan(10);
  });
}
