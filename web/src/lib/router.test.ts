import { describe, expect, it, vi } from 'vitest';

vi.stubGlobal('location', { pathname: '/' });
const { routeOf } = await import('./router.svelte');

describe('routeOf', () => {
  it('knows every page', () => {
    expect(routeOf('/')).toEqual({ name: 'home' });
    expect(routeOf('/new')).toEqual({ name: 'sign-up' });
    expect(routeOf('/restore')).toEqual({ name: 'restore' });
    expect(routeOf('/settings')).toEqual({ name: 'settings' });
  });

  it('reads the address of a person', () => {
    expect(routeOf('/@alice@example.org')).toEqual({ name: 'person', address: 'alice@example.org' });
    expect(routeOf('/@alice%40example.org')).toEqual({ name: 'person', address: 'alice@example.org' });
    expect(routeOf('/@%')).toEqual({ name: 'missing' });
    expect(routeOf('/@alice/x')).toEqual({ name: 'missing' });
  });

  it('says what is no page', () => {
    for (const path of ['/nothing', '/new/', '//', '/settings/x'])
      expect(routeOf(path)).toEqual({ name: 'missing' });
  });
});
