import { visit } from '../support/hydration';
import { SignInPage } from '../support/pages';
import { expect, test } from '../support/test';
import { refusedWith } from '../support/watch';

test('a browser without cookies learns that they are required', async ({ page, person, watch }) => {
  watch.expect(refusedWith(403));
  const signInPage = new SignInPage(page);
  await visit(page, '/login');
  await signInPage.fill(person);
  // A browser that blocks cookies also sends the form without one.
  await page.context().clearCookies();
  await signInPage.button.click();
  await expect(signInPage.problem).toContainText('Allow cookies for this site');
  const cookies = await page.context().cookies();
  expect(cookies.filter(cookie => cookie.name === 'portal_session')).toEqual([]);

  // The same page works after cookies are allowed.
  await signInPage.signIn(person);
  await expect(page).toHaveURL('/dashboard');
});
