// The texts in the chosen language, and dates as people write them in it.

import { getContext, setContext } from 'svelte';
import de from './de';
import en, { type Catalogue } from './en';

export const LANGUAGES = { en, de } as const;
export type Language = keyof typeof LANGUAGES;

const KEY = 'kez.language';

/** The stored choice, else the first of the browser's languages that there is. */
export function preferred(stored: string | null, wanted: readonly string[]): Language {
  const known = (tag: string | null): tag is Language => tag !== null && Object.hasOwn(LANGUAGES, tag);
  if (known(stored)) return stored;
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find(known) ?? 'en';
}

export class Texts {
  #language = $state<Language>(preferred(localStorage.getItem(KEY), navigator.languages));
  readonly t: Catalogue = $derived(LANGUAGES[this.#language]);

  get language(): Language {
    return this.#language;
  }

  choose(language: Language): void {
    this.#language = language;
    localStorage.setItem(KEY, language);
  }

  date(iso: string): string {
    return new Intl.DateTimeFormat(this.#language, { dateStyle: 'medium' }).format(Date.parse(iso));
  }

  /** What to say about a failure with this code. */
  failure(code: string): string {
    const texts: Record<string, unknown> = this.t.failed;
    const text = Object.hasOwn(texts, code) ? texts[code] : undefined;
    return typeof text === 'string' ? text : this.t.failed.other(code);
  }
}

const CONTEXT = Symbol('texts');

export function provideTexts(texts: Texts): void {
  setContext(CONTEXT, texts);
}

export function texts(): Texts {
  return getContext<Texts>(CONTEXT);
}
