// Pages by path. A link is an ordinary <a href>; this notices the click.

import { untrack } from 'svelte';

export type Route =
  | { readonly name: 'home' }
  | { readonly name: 'sign-up' }
  | { readonly name: 'restore' }
  | { readonly name: 'settings' }
  | { readonly name: 'person'; readonly address: string }
  | { readonly name: 'missing' };

export function routeOf(path: string): Route {
  switch (path) {
    case '/':
      return { name: 'home' };
    case '/new':
      return { name: 'sign-up' };
    case '/restore':
      return { name: 'restore' };
    case '/settings':
      return { name: 'settings' };
  }
  if (path.startsWith('/@') && !path.slice(2).includes('/')) {
    try {
      return { name: 'person', address: decodeURIComponent(path.slice(2)) };
    } catch {
      return { name: 'missing' }; // half an escape
    }
  }
  return { name: 'missing' };
}

export class Router {
  #path = $state(location.pathname);
  readonly route = $derived(routeOf(this.#path));

  /** Follows links and the browser's buttons until the returned function is called. */
  listen(): () => void {
    const moved = () => {
      this.#path = location.pathname;
    };
    const clicked = (event: MouseEvent) => {
      const link = event.target instanceof Element ? event.target.closest('a') : null;
      const isPlain =
        event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.defaultPrevented;
      if (
        !link ||
        !isPlain ||
        link.target ||
        link.origin !== location.origin ||
        link.hasAttribute('data-server')
      )
        return;
      event.preventDefault();
      this.go(link.pathname);
    };
    addEventListener('popstate', moved);
    document.addEventListener('click', clicked);
    return () => {
      removeEventListener('popstate', moved);
      document.removeEventListener('click', clicked);
    };
  }

  go(path: string): void {
    if (path !== location.pathname) history.pushState(null, '', path);
    untrack(() => {
      this.#path = path;
    });
    scrollTo(0, 0);
  }
}
