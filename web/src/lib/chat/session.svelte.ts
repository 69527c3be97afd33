// Who is here: the state of the account in this browser, and everything that the pages do with it.

import { getContext, setContext } from 'svelte';
import * as home from '../api/home';
import { Refused, Unreachable } from '../api/http';
import { Engine } from '../wasm/engine';
import { Failed, type Account, type LockHint, type LockSecret, type Person } from '../wasm/protocol';
import * as passkey from './passkey';

export type { Account, LockSecret, Person };

/** What this browser knows of an account. */
export type Here =
  | { readonly state: 'loading' }
  /** No server, no engine, or no storage: `code` says which. */
  | { readonly state: 'failed'; readonly code: string }
  | { readonly state: 'nobody'; readonly forgotten: string | undefined }
  | { readonly state: 'locked'; readonly account: Account; readonly lock: LockHint }
  | { readonly state: 'open'; readonly account: Account; readonly lock: LockHint };

/** Whether a name can be taken. */
export type NameCheck =
  | { readonly state: 'empty' }
  | { readonly state: 'looking' }
  | { readonly state: 'fault'; readonly fault: 'length' | 'start' | 'character' | 'reserved' }
  | { readonly state: 'taken' }
  | { readonly state: 'unknown' }
  | { readonly state: 'free' };

/** Remembers, outside of the vault, whose vault it was: browsers may delete the one and leave the other. */
const KNOWN = 'kez.known';
const INVITE = /[#?&]invite=([A-Za-z0-9._~-]+)/;

export class Session {
  readonly #engine = new Engine();
  #here = $state.raw<Here>({ state: 'loading' });
  #info = $state.raw<home.ServerInfo | undefined>();
  /** From the link that led here. It stays in memory: links are copied, and an invitation is for one. */
  invite = $state('');

  get here(): Here {
    return this.#here;
  }

  get info(): home.ServerInfo | undefined {
    return this.#info;
  }

  get account(): Account | undefined {
    return 'account' in this.#here ? this.#here.account : undefined;
  }

  async start(): Promise<void> {
    this.#here = { state: 'loading' };
    const invited = INVITE.exec(location.hash)?.[1];
    if (invited !== undefined) {
      this.invite = invited;
      history.replaceState(null, '', location.pathname);
    }
    try {
      this.#info = await home.serverInfo();
      // The engine is loaded where there is something to unlock, not before the first look at the page.
      if (localStorage.getItem(KNOWN) === null && !(await hasVault())) {
        this.#here = { state: 'nobody', forgotten: undefined };
        return;
      }
      await this.#look();
    } catch (error) {
      this.#here = { state: 'failed', code: codeOf(error) };
    }
  }

  async #look(): Promise<void> {
    const status = await this.#engine.ask('status', undefined);
    if (status.state === 'empty') {
      this.#here = { state: 'nobody', forgotten: localStorage.getItem(KNOWN) ?? undefined };
      return;
    }
    this.#here = status;
    if (status.state === 'locked' && status.lock.kind === 'browser') await this.unlock({ kind: 'browser' });
  }

  async checkName(handle: string): Promise<NameCheck> {
    if (handle === '') return { state: 'empty' };
    const fault = await this.#engine.ask('handleFault', { handle });
    if (fault !== undefined) return { state: 'fault', fault };
    try {
      return (await home.byHandle(handle)) ? { state: 'taken' } : { state: 'free' };
    } catch {
      return { state: 'unknown' };
    }
  }

  newKey(): Promise<undefined> {
    return this.#engine.ask('newKey', undefined);
  }

  useWords(words: string): Promise<{ primary: string; handle?: string }> {
    return this.#engine.ask('useWords', { words });
  }

  /** Makes the vault; what the server has to hear follows by [settle]. */
  async create(handle: string, secret: LockSecret, restored: boolean): Promise<void> {
    const server = this.#info?.server ?? '';
    const account = await this.#engine.ask('create', { handle, server, secret, restored });
    localStorage.setItem(KNOWN, `${handle}@${server}`);
    this.#opened(account);
    await this.#look();
  }

  async settle(): Promise<void> {
    const invite = this.invite.trim().replace(/^.*[#?&]invite=/, '');
    this.#opened(await this.#engine.ask('settle', invite === '' ? {} : { invite }));
  }

  words(secret?: LockSecret): Promise<string> {
    return this.#engine.ask('words', { secret });
  }

  /** The words are on paper. From now on there is something to lose, so the browser is asked to keep it. */
  async confirm(): Promise<void> {
    this.#opened(await this.#engine.ask('confirm', undefined));
    // Not waited for: a browser may ask the user, and the answer changes nothing here.
    void navigator.storage.persist().catch(() => false);
  }

  async unlock(secret: LockSecret): Promise<void> {
    const account = await this.#engine.ask('unlock', { secret });
    const lock = this.#here.state === 'locked' ? this.#here.lock : { kind: 'browser' as const };
    this.#here = { state: 'open', account, lock };
  }

  /** Ends the Worker, and with it every key in memory. */
  async lock(): Promise<void> {
    this.#engine.end();
    await this.#look();
  }

  /** What opens the lock, asked from the passkey; for a passphrase somebody has to type it. */
  async secretOfPasskey(): Promise<LockSecret> {
    const lock = 'lock' in this.#here ? this.#here.lock : undefined;
    if (lock?.kind !== 'passkey') throw new Failed('wrong_secret', 'not a passkey');
    return passkey.use(lock.credentialId, lock.salt);
  }

  person(address: string): Promise<Person | undefined> {
    return this.#engine.ask('person', { address });
  }

  revoke(deviceId: string, secret: LockSecret): Promise<undefined> {
    return this.#engine.ask('revoke', { deviceId, secret });
  }

  async forget(): Promise<void> {
    await this.#engine.ask('forget', undefined);
    this.#engine.end();
    this.forgetMarker();
  }

  forgetMarker(): void {
    localStorage.removeItem(KNOWN);
    this.#here = { state: 'nobody', forgotten: undefined };
  }

  #opened(account: Account): void {
    const lock = 'lock' in this.#here ? this.#here.lock : { kind: 'browser' as const };
    this.#here = { state: 'open', account, lock };
  }
}

/** Whether this browser has the database of a vault, without making one. */
async function hasVault(): Promise<boolean> {
  try {
    return (await indexedDB.databases()).some(({ name }) => name === 'kez');
  } catch {
    return true; // cannot tell: look
  }
}

/** The code of a failure, for its text. */
export function codeOf(error: unknown): string {
  if (error instanceof Failed || error instanceof Refused) return error.code;
  if (error instanceof Unreachable) return 'unreachable';
  return error instanceof passkey.PasskeyFailed ? 'passkey' : 'internal';
}

const CONTEXT = Symbol('session');

export function provideSession(session: Session): void {
  setContext(CONTEXT, session);
}

export function session(): Session {
  return getContext<Session>(CONTEXT);
}
