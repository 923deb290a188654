import { PeoplePage, AdminSessionsPage, ConfirmDialog, test } from '../support/administration';
import { FIREFOX_ON_MACOS } from '../support/devices';
import { visit } from '../support/hydration';
import { SignInPage } from '../support/pages';
import { expect, signIn } from '../support/test';
import { refusedWith } from '../support/watch';

const PATH = PeoplePage.path;

test.beforeEach(({ watch }) => watch.expect(refusedWith(401), refusedWith(403)));

test('the list shows every member, signed in or not', async ({
  page,
  portal,
  admin,
  person,
  organization,
  signInElsewhere,
}) => {
  await portal.register({ organization, name: 'Bruno Never', role: 'vendor' });
  await portal.register({ organization: 'Elsewhere', name: 'Sven Stranger' });
  await signInElsewhere(person, FIREFOX_ON_MACOS);
  await signIn(page, admin, AdminSessionsPage.path);
  await page.getByRole('navigation', { name: 'Administration' }).getByRole('link', { name: 'People' }).click();
  await expect(page).toHaveURL(PATH);
  const people = new PeoplePage(page);
  await expect(page).toHaveTitle('People · Broker Portal');
  await people.shows(3);
  await expect(people.main.getByRole('columnheader')).toHaveText([
    'Person', 'Role', 'State', 'Live sessions', 'Last active',
  ]);
  await expect(people.row('Maria Keller').locator('th, td')).toHaveText([
    /Maria Keller\s*maria\.keller\+\d+@example\.com/, 'Broker', 'Active', /1 session/, 'just now',
  ]);
  await expect(people.row('Bruno Never').locator('td')).toHaveText(['Vendor', 'Active', 'None', 'Never signed in']);
  await expect(people.main).not.toContainText('Sven Stranger');

  await people.row('Maria Keller').getByRole('link', { name: '1 session of Maria Keller' }).click();
  const review = new AdminSessionsPage(page);
  await review.shows(1);
  await expect(review.row('Firefox on macOS')).toContainText('Maria Keller');
});

test('the filter is kept in the URL', async ({
  page,
  portal,
  admin,
  person,
  organization,
  javaScriptEnabled,
}) => {
  const scripted = Boolean(javaScriptEnabled);
  await portal.register({ organization, name: 'Bruno Never', role: 'vendor' });
  await portal.sql(`UPDATE users SET password_change_required = true WHERE email = '${person.email}'`);
  await signIn(page, admin, PATH);
  const people = new PeoplePage(page);
  await people.shows(3);
  for (const { name, value, row } of [
    { name: 'Role', value: 'vendor', row: 'Bruno Never' },
    { name: 'State', value: 'new_password', row: 'Maria Keller' },
  ]) {
    await people.choice(name).selectOption(value);
    if (!scripted) {
      await people.show.click();
    }
    await people.shows(1);
    await expect(people.row(row)).toBeVisible();
    await page.reload();
    await people.shows(1);
    await expect(people.choice(name)).toHaveValue(value);
    await visit(page, PATH);
  }
  await people.search.pressSequentially('bruno');
  if (!scripted) {
    await people.show.click();
  }
  await people.shows(1);
  await expect(page).toHaveURL(/\?q=bruno/);
  await people.search.fill('nobody at all');
  if (!scripted) {
    await people.show.click();
  }
  await people.shows(0);
  await expect(people.main).toContainText('Nobody fits this filter.');
  await visit(page, `${PATH}?state=gone`);
  await people.shows(0);
  await expect(people.main).toContainText('“state” in the address is not understood.');
});

test('paging reaches every user', async ({ page, portal, admin, organization }) => {
  await portal.sql(`
    WITH people AS (
      INSERT INTO users (id, email, display_name, role, password_hash, password_changed_at, created_at)
      SELECT gen_random_uuid(), 'p' || n || '-' || o.id || '@example.com', 'Person ' || n, 'broker', '', now(), now()
      FROM generate_series(1, 60) n, organizations o WHERE o.name = '${organization}' RETURNING id
    )
    INSERT INTO memberships (user_id, organization_id, role, created_at)
    SELECT p.id, o.id, 'broker', now() FROM people p, organizations o WHERE o.name = '${organization}'`);
  await signIn(page, admin, PATH);
  const people = new PeoplePage(page);
  await people.shows(61);
  await expect(people.rows).toHaveCount(50);
  await people.next.click();
  await expect(people.rows).toHaveCount(11);
  await people.shows(61);
  await expect(people.next).toHaveCount(0);
  await people.first.click();
  await expect(people.rows).toHaveCount(50);
});

test('a user without sign-ins can be managed in the details panel', async ({
  page,
  admin,
  person,
  openBrowser,
}) => {
  await signIn(page, admin, `${PATH}?q=maria`);
  const people = new PeoplePage(page);
  await people.person('Maria Keller').click();
  await expect(people.panel.title).toHaveText('Maria Keller');
  await expect(people.panel.box).toContainText('Signed in nowhere.');
  await people.panel.close.click();
  await expect(people.panel.box).toHaveCount(0);
  await people.person('Maria Keller').click();

  const answer = async (question: string, action: string, button: string) => {
    await people.panel.action(action).click();
    const asked = new ConfirmDialog(page, question);
    await asked.confirm(button).click();
    await expect(asked.box).toHaveCount(0);
    await expect(page).toHaveURL(/\/dashboard\/admin\/people\?q=maria&person=/);
    await expect(people.panel.title).toHaveText('Maria Keller');
  };
  await answer('Disable the account of Maria Keller?', 'Disable the account…', 'Disable account');
  await expect(people.row('Maria Keller')).toContainText('Disabled');
  const other = await openBrowser(FIREFOX_ON_MACOS);
  const signInPage = new SignInPage(other);
  await other.goto('/login');
  await signInPage.signIn(person);
  await expect(signInPage.problem).toContainText('The email or password is wrong.');

  await answer('Let Maria Keller sign in again?', 'Let sign in again…', 'Let sign in again');
  await expect(people.row('Maria Keller')).toContainText('Active');
  await signInPage.signIn(person);
  await expect(other).toHaveURL('/dashboard');

  await people.panel.action('Change role…').click();
  const role = new ConfirmDialog(page, 'Change the role of Maria Keller');
  await role.box.getByRole('combobox', { name: 'Role' }).selectOption('vendor');
  await role.confirm('Change role').click();
  await expect(role.box).toHaveCount(0);
  await expect(people.row('Maria Keller')).toContainText('Vendor');

  await answer('Sign Maria Keller out everywhere?', 'End all of their sessions…', 'End 1 session');
  await expect(people.row('Maria Keller')).toContainText('None');
  await other.goto('/dashboard');
  await expect(other).toHaveURL(/\/login/);
});

test('denied actions are hidden and explained in the details panel', async ({
  page,
  portal,
  admin,
  person,
}) => {
  await portal.register({ ...person, organization: 'Southwind Brokers', role: 'vendor' });
  await signIn(page, admin, PATH);
  const people = new PeoplePage(page);
  await people.person('Maria Keller').click();
  await expect(people.panel.box).toContainText('This user also belongs to another organization');
  await expect(people.panel.action('Disable the account…')).toHaveCount(0);
  await expect(people.panel.box).not.toContainText('Southwind');
  await people.person('Ada Lindqvist').click();
  await expect(people.panel.box).toContainText('This is your own account. Another administrator can change your role');
  await expect(people.panel.action('Change role…')).toHaveCount(0);
});
