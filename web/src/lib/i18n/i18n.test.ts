import { expect, it, vi } from 'vitest';
import de from './de';
import en from './en';

vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined });
const { preferred } = await import('./i18n.svelte');

const keys = (catalogue: object, path = ''): string[] =>
  Object.entries(catalogue).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null ? keys(value as object, `${path}${key}.`) : [`${path}${key}`],
  );

it('has every text in every language', () => {
  expect(keys(de)).toEqual(keys(en));
});

it('takes the stored language, else the browser’s first that there is, else English', () => {
  expect(preferred('de', ['en'])).toBe('de');
  expect(preferred(null, ['fr-FR', 'de-AT', 'en'])).toBe('de');
  expect(preferred('xx', ['fr'])).toBe('en');
  expect(preferred('toString', [])).toBe('en');
});
