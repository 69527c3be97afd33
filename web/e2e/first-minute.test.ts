// From opening the page to one's own address, and back again.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { Home, launch, PASSPHRASE, recallOn, review, seat, signUp, wordsOn, type Seat } from './stage';

let home: Home;
let browser: Browser;
let seats: Seat[] = [];

beforeAll(async () => {
  [home, browser] = await Promise.all([Home.start(), launch()]);
});
afterAll(async () => {
  await browser.close();
  await home.end();
});
/** Whatever a test did: no error, no refused policy, no request to somebody else. */
afterEach(async () => {
  const faults = seats.flatMap((seat) => seat.faults);
  await Promise.all(seats.map(({ context }) => context.close()));
  seats = [];
  expect(faults).toEqual([]);
});

async function sit(): Promise<Seat> {
  const taken = await seat(browser, home);
  seats.push(taken);
  return taken;
}

describe('a newcomer', () => {
  it('has a name within the minute, and every page on the way is in order', async () => {
    const { page } = await sit();
    const answer = await page.goto('/');
    const policy = answer?.headers()['content-security-policy'] ?? '';
    expect(policy).toContain("require-trusted-types-for 'script'");
    await page.getByRole('link', { name: 'Take a name' }).waitFor();
    await review(page, '1-welcome');
    await page.getByRole('link', { name: 'Take a name' }).click();
    await page.getByLabel('Name', { exact: true }).fill('alice');
    await page.getByText('alice@kez.lat is free').waitFor();
    await review(page, '2-name');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('heading', { name: 'Lock your key' }).waitFor();
    await page.getByRole('button', { name: 'Create my key' }).click();
    await page.getByText('10 characters more.').waitFor();
    await review(page, '3-lock');
    await page.getByLabel('Passphrase', { exact: true }).last().fill(PASSPHRASE);
    await page.getByLabel('The same once more').fill(PASSPHRASE);
    await page.getByRole('button', { name: 'Create my key' }).click();
    const words = await wordsOn(page);
    expect(new Set(words.map((word) => /^[a-z]{3,8}$/.test(word)))).toEqual(new Set([true]));
    await review(page, '4-sheet');
    await page.getByRole('button', { name: 'I have written them down' }).click();
    await page.getByRole('button', { name: 'Finish' }).click();
    await page.getByText('Not what is on the sheet').waitFor();
    await review(page, '5-recall');
    await recallOn(page, words);
    await page.getByRole('heading', { name: 'alice@kez.lat' }).waitFor();
    await page.getByText('Show QR code').click();
    await page.getByRole('img', { name: 'QR code of your link' }).waitFor();
    await review(page, '6-home');
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    await review(page, '7-settings');
    await page.getByRole('link', { name: 'alice@kez.lat' }).click();
    await page.getByText('This browser').waitFor();
    await page.getByText('was checked and agrees').waitFor();
    await review(page, '8-person');
    await page.goto('/nothing/here');
    await page.getByText('There is no page here.').waitFor();
    await review(page, '9-missing');
  });

  it('gets there with the keyboard alone', async () => {
    const { page } = await sit();
    await page.goto('/');
    await page.getByRole('link', { name: 'Take a name' }).waitFor();
    const press = async (name: string, key = 'Enter') => {
      for (let step = 0; step < 40; step += 1) {
        await page.keyboard.press('Tab');
        const label = await page.evaluate(() => {
          const at = document.activeElement;
          if (at instanceof HTMLInputElement) return at.labels?.[0]?.textContent?.trim() ?? '';
          return at?.textContent?.trim() ?? '';
        });
        if (label.startsWith(name)) return key === '' ? undefined : page.keyboard.press(key);
      }
      throw new Error(`Tab does not reach ${name}`);
    };
    await press('Take a name');
    await page.getByLabel('Name', { exact: true }).waitFor();
    await press('Name', '');
    await page.keyboard.type('kai');
    await page.getByText('kai@kez.lat is free').waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Lock your key' }).waitFor();
    await press('The same once more', '');
    await page.keyboard.type(PASSPHRASE);
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.type(PASSPHRASE);
    await page.keyboard.press('Enter');
    const words = await wordsOn(page);
    await press('I have written them down');
    await page.getByRole('heading', { name: 'Three of them, please' }).waitFor();
    for (const field of await page.getByLabel(/Word \d+/).all()) {
      const label = await field.evaluate(
        (input: HTMLInputElement) => input.labels?.[0]?.textContent?.trim() ?? '',
      );
      await press(label, '');
      await page.keyboard.type(words[Number(label.slice(5)) - 1] ?? '');
    }
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'kai@kez.lat' }).waitFor();
  });

  it('hears why a name is refused while typing it', async () => {
    const { page } = await sit();
    await signUp(page, 'tudisco');
    const other = await sit();
    await other.page.goto('/new');
    const field = other.page.getByLabel('Name', { exact: true });
    const button = other.page.getByRole('button', { name: 'Continue' });
    const cases = [
      ['ab', '3 to 32 characters.'],
      ['-abc', 'The first character'],
      ['al ice', 'Only small letters'],
      ['аlice', 'Only small letters'], // the first letter is Cyrillic
      ['ali\u200bce', 'Only small letters'],
      ['\u202ealice', 'Only small letters'],
      ['admin', 'kept for the server'],
      ['tudisco', 'tudisco@kez.lat is taken'],
    ] as const;
    for (const [name, reason] of cases) {
      await field.fill(name);
      await other.page.getByText(reason).waitFor();
      expect(await button.isDisabled()).toBe(true);
    }
    await field.fill('Free_name');
    await other.page.getByText('free_name@kez.lat is free').waitFor();
    expect(await button.isDisabled()).toBe(false);
  });
});

describe('the vault', () => {
  it('keeps no seed, no words and no passphrase that anybody could read', async () => {
    const { page, context } = await sit();
    const words = await signUp(page, 'vera');
    const dump = await page.evaluate(async () => {
      const bytes: number[][] = [];
      const texts: string[] = [];
      const walk = (value: unknown): void => {
        if (value instanceof Uint8Array) bytes.push([...value]);
        else if (typeof value === 'string') texts.push(value);
        else if (value instanceof CryptoKey) texts.push(`key ${String(value.extractable)}`);
        else if (typeof value === 'object' && value !== null) Object.values(value).forEach(walk);
      };
      for (const { name } of await indexedDB.databases()) {
        const database = await new Promise<IDBDatabase>((resolve, reject) => {
          const request = indexedDB.open(name ?? '');
          request.onsuccess = () => resolve(request.result);
          request.onerror = () => reject(new Error('no database'));
        });
        for (const store of database.objectStoreNames) {
          walk(
            await new Promise((resolve) => {
              const all = database.transaction(store).objectStore(store).getAll();
              all.onsuccess = () => resolve(all.result);
            }),
          );
        }
        database.close();
      }
      walk({ ...localStorage });
      walk({ ...sessionStorage });
      walk(document.cookie);
      return { bytes, texts, caches: await caches.keys() };
    });
    const { Identity, initSync } = await import('../src/lib/wasm/pkg/kez_wasm.js');
    const { readFileSync } = await import('node:fs');
    initSync({ module: readFileSync(new URL('../src/lib/wasm/pkg/kez_wasm_bg.wasm', import.meta.url)) });
    const seed = Buffer.from(Identity.fromPhrase(words.join(' ')).seed());
    const stored = [
      ...dump.bytes.map((list) => Buffer.from(list)),
      ...dump.texts.map((text) => Buffer.from(text)),
    ];
    expect(stored.length).toBeGreaterThan(5);
    const forms = [
      seed,
      seed.toString('hex'),
      seed.toString('base64').slice(0, 40),
      seed.toString('base64url').slice(0, 40),
      words.slice(0, 3).join(' '),
      PASSPHRASE,
    ];
    for (const form of forms) {
      expect(
        stored.some((bytes) => bytes.includes(form)),
        'a secret lies readable',
      ).toBe(false);
    }
    expect(dump.caches).toEqual([]);
    expect(await context.cookies()).toEqual([]);
  });

  it('opens with the passphrase only, and locking ends the Worker', async () => {
    const { page } = await sit();
    await signUp(page, 'lena');
    expect(page.workers()).toHaveLength(1);
    const ended = new Promise((resolve) => page.workers()[0]?.once('close', resolve));
    await page.getByRole('button', { name: 'Lock' }).click();
    await ended;
    await page.getByRole('heading', { name: 'Welcome back' }).waitFor();
    await review(page, '10-unlock');
    await page.getByLabel('Passphrase').fill('something else');
    await page.getByRole('button', { name: 'Unlock' }).click();
    await page.getByText('That is not the passphrase.').waitFor();
    await page.getByLabel('Passphrase').fill(PASSPHRASE);
    await page.getByRole('button', { name: 'Unlock' }).click();
    await page.getByRole('heading', { name: 'lena@kez.lat' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Welcome back' }).waitFor();
  });
});

describe('coming back', () => {
  it('takes the words, on another browser, as a second device; the first one can be removed', async () => {
    const { page } = await sit();
    const words = await signUp(page, 'rosa');
    const other = await sit();
    await other.page.goto('/restore');
    const field = other.page.getByLabel('Recovery words');
    await field.fill([...words].reverse().join(' '));
    await other.page.getByRole('button', { name: 'Find my name' }).click();
    await other.page.getByText('do not fit together').waitFor();
    await field.fill(` ${words.join('\n').toUpperCase()} `);
    await other.page.getByRole('button', { name: 'Find my name' }).click();
    await other.page.getByText('These are the words of rosa@kez.lat.').waitFor();
    await review(other.page, '11-restore');
    await other.page.getByRole('radio', { name: 'No lock' }).check();
    await other.page.getByRole('button', { name: 'Continue' }).click();
    await other.page.getByRole('heading', { name: 'rosa@kez.lat' }).waitFor();
    await other.page.goto('/@rosa@kez.lat');
    await other.page.getByText('This browser').waitFor();
    expect(await other.page.getByText('named in the person’s own chain').count()).toBe(2);
    await other.page.getByRole('button', { name: 'Remove' }).click();
    await review(other.page, '12-remove');
    await other.page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await other.page.getByText('The device is removed.').waitFor();
    expect(await other.page.getByText('named in the person’s own chain').count()).toBe(1);
  });

  it('is offered when the browser has deleted the keys', async () => {
    const { page } = await sit();
    await signUp(page, 'otto');
    await page.goto('about:blank');
    await page.goto('/openapi');
    await page.evaluate(
      () =>
        new Promise((resolve) => {
          indexedDB.deleteDatabase('kez').onsuccess = resolve;
        }),
    );
    await page.goto('/');
    await page.getByRole('heading', { name: 'This browser forgot you' }).waitFor();
    await review(page, '13-forgot');
    await page.getByText('otto@kez.lat was here before').waitFor();
    await page.getByRole('link', { name: 'Restore from words' }).click();
    await page.getByLabel('Recovery words').waitFor();
  });
});

describe('an unlucky newcomer', () => {
  it('goes on where the server went away', async () => {
    const { page, faults } = await sit();
    await page.goto('/new');
    await page.getByLabel('Name', { exact: true }).fill('unlucky');
    await page.getByText('unlucky@kez.lat is free').waitFor();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('radio', { name: 'No lock' }).check();
    await page.route('**/v1/register', (route) => route.abort());
    await page.getByRole('button', { name: 'Create my key' }).click();
    await page.getByText('The server does not answer.').waitFor();
    await page.unroute('**/v1/register');
    await home.down();
    await home.up();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('heading', { name: 'Your recovery words' }).waitFor();
    // The request that was cut is the browser's to complain about.
    expect(faults.every((fault) => fault.includes('ERR_FAILED'))).toBe(true);
    faults.length = 0;
  });

  it('speaks German', async () => {
    const taken = await seat(browser, home, { locale: 'de-DE' });
    seats.push(taken);
    await taken.page.goto('/');
    await taken.page.getByRole('link', { name: 'Namen wählen' }).click();
    await taken.page.getByRole('heading', { name: 'Wähle deinen Namen' }).waitFor();
    expect(await taken.page.evaluate(() => document.documentElement.lang)).toBe('de');
  });
});
