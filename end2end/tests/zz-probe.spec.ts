import { visit } from '../support/hydration';
import { expect, signIn, test } from '../support/test';
import { SettingsPage } from '../support/pages';
test('probe', { tag: '@with-script' }, async ({ page, person, openDesktop }) => {
  await openDesktop();
  await signIn(page, person, '/dashboard/settings');
  await page.emulateMedia({ reducedMotion: 'reduce', colorScheme: 'light' });
  await page.screenshot({ path: '/tmp/sheets/p0.png' });
  let differ: string[] = [];
  for (let i = 0; i < 6; i++) {
    await page.emulateMedia({ colorScheme: i % 2 ? 'light' : 'dark' });
    const first = await page.screenshot({ path: `/tmp/sheets/p${i}a.png` });
    await page.waitForTimeout(1000);
    const later = await page.screenshot({ path: `/tmp/sheets/p${i}b.png` });
    await page.reload(); await page.waitForTimeout(1000);
    const fresh = await page.screenshot({ path: `/tmp/sheets/p${i}c.png` });
    differ.push(`${i}: first=later ${first.equals(later)} later=fresh ${later.equals(fresh)}`);
  }
  console.log(differ.join('\n'));
});
