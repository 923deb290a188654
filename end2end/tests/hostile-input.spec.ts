import { Desktop } from '../support/devices';
import { visit } from '../support/hydration';
import { SettingsPage, SignInPage, SignOutAllQuestion } from '../support/pages';
import { expect, signIn, test } from '../support/test';

const SCRIPT = '<script>document.title="owned"</script><img src=x onerror=document.title="owned">';

const EVIL = [
  'https://evil.example/',
  '//evil.example',
  '/\\evil.example',
  '\\\\evil.example',
  '/\t/evil.example',
  '/\n/evil.example',
  'javascript:alert(1)',
  'data:text/html,<script>alert(1)</script>',
  '"><script>alert(1)</script>',
  '/api/sign_out',
  '/login?next=//evil.example',
];

test('no URL redirects a sign-in to another site', async ({ page, person }) => {
  page.on('dialog', dialog => {
    throw new Error(`a script ran: ${dialog.message()}`);
  });
  // One through the form, which differs by mode; the others directly, where the server alone decides.
  for (const next of [EVIL[0], EVIL[2], EVIL[6], EVIL[8]]) {
    // The previous page listens to its session, which the next sign-in ends.
    await page.goto('about:blank');
    await page.context().clearCookies();
    await page.goto(`/login?next=${encodeURIComponent(next)}`);
    await new SignInPage(page).signIn(person);
    await expect(page, next).toHaveURL('/dashboard');
  }
  await page.goto('about:blank');
  const request = page.context().request;
  for (const next of EVIL) {
    const past = await request.get(`/login?next=${encodeURIComponent(next)}`, { maxRedirects: 0 });
    expect(past.headers().location, `being signed in, at next=${next}`).toBe('/dashboard');
    const form = { email: person.email, password: person.password, next };
    const signedIn = await request.post('/api/sign_in', { form, maxRedirects: 0, headers: { accept: 'text/html' } });
    expect(signedIn.headers().location, `signing in with next=${next}`).toBe('/dashboard');
  }
});

test('text of the URL never appears on a page', async ({ page }) => {
  for (const query of [
    `reason=${encodeURIComponent(SCRIPT)}`,
    `reason=revoked&next=${encodeURIComponent(SCRIPT)}`,
    `__err=${encodeURIComponent(SCRIPT)}`,
    `__err=${encodeURIComponent(btoa(JSON.stringify({ code: 'internal', message: SCRIPT })))}`,
    'reason=Call+0800+123+to+unlock+your+account',
  ]) {
    await visit(page, `/login?${query}`);
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
    await expect(page.getByRole('main')).not.toContainText(/owned|script|0800/);
    await expect(page.locator('main img, main script')).toHaveCount(0);
    await expect(page).toHaveTitle('Sign in · Broker Portal');
  }
});

test('names that look like markup are escaped', async ({
  page,
  portal,
  javaScriptEnabled: scripted,
}) => {
  const person = await portal.register({ name: `Mallory ${SCRIPT}`, organization: `Org ${SCRIPT}` });
  await Desktop.signIn(portal.url, person, SCRIPT);
  await signIn(page, person, '/dashboard/settings');
  await expect(page).toHaveTitle('Settings · Broker Portal');
  const settings = new SettingsPage(page);
  await expect(settings.rows).toHaveCount(2);
  await expect(settings.rows.getByRole('heading', { name: SCRIPT })).toBeVisible();
  await expect(page.getByRole('region', { name: 'Organization' })).toContainText(`Org ${SCRIPT}`);
  await settings.signOutAll.click();
  const question = new SignOutAllQuestion(page, Boolean(scripted));
  await expect(question.devices.filter({ hasText: `${SCRIPT}, desktop app` })).toBeVisible();
  await expect(page.locator('main img, main script, dialog img')).toHaveCount(0);

  await visit(page, '/dashboard');
  await expect(page.getByRole('main')).toContainText(`Mallory ${SCRIPT}`);
  await expect(page).toHaveTitle('Dashboard · Broker Portal');
});

test('a form on another site cannot sign anybody out', async ({ page, person }) => {
  await signIn(page, person);
  for (const path of ['sign_out', 'sign_out_all_devices', 'sign_out_other_devices', 'choose_theme']) {
    for (const [header, value] of [['sec-fetch-site', 'cross-site'], ['origin', 'https://evil.example']]) {
      const headers = { [header]: value };
      const answer = await page.context().request.post(`/api/${path}`, { form: { theme: 'dark' }, headers });
      expect(answer.status(), `${path} with ${header}`).toBe(403);
    }
  }
  await page.reload();
  await expect(page).toHaveURL('/dashboard');
});

test('scripts and other sites cannot read the cookie', async ({ page, person }) => {
  await signIn(page, person);
  const [cookie] = (await page.context().cookies()).filter(cookie => cookie.name === 'portal_session');
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Lax', path: '/' });
});

test('the page runs only scripts of the portal', { tag: '@with-script' }, async ({ page, watch }) => {
  watch.expect(/Content Security Policy/);
  await visit(page, '/login');
  const refused = await page.evaluate(
    () =>
      new Promise<string>(resolve => {
        document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective));
        const script = document.createElement('script');
        script.textContent = 'document.title = "owned"';
        document.body.append(script);
      }),
  );
  expect(refused).toBe('script-src-elem');
  await expect(page).toHaveTitle('Sign in · Broker Portal');
});
