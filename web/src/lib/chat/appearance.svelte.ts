// Light or dark, by choice or as the device.

import { getContext, setContext } from 'svelte';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'kez.theme';
const isTheme = (text: string | null): text is Theme => THEMES.some((theme) => theme === text);

export class Appearance {
  #theme = $state<Theme>(stored());

  get theme(): Theme {
    return this.#theme;
  }

  choose(theme: Theme): void {
    this.#theme = theme;
    localStorage.setItem(KEY, theme);
    this.apply();
  }

  apply(): void {
    document.documentElement.dataset['theme'] = this.#theme;
  }
}

function stored(): Theme {
  const text = localStorage.getItem(KEY);
  return isTheme(text) ? text : 'system';
}

const CONTEXT = Symbol('appearance');

export function provideAppearance(appearance: Appearance): void {
  setContext(CONTEXT, appearance);
}

export function appearance(): Appearance {
  return getContext<Appearance>(CONTEXT);
}
