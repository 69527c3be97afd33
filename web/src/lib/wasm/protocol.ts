// What the page and its Worker say to each other. Nothing that comes back holds a secret, but for the recovery words,
// which are there to be read.

import type { ChainView, HandleFault } from './pkg/kez_wasm';

export type { ChainView, HandleFault };

/** How somebody locks or opens the keys. */
export type LockSecret =
  | { readonly kind: 'passphrase'; readonly passphrase: string }
  | {
      readonly kind: 'passkey';
      readonly output: Uint8Array<ArrayBuffer>;
      readonly credentialId: Uint8Array;
      readonly salt: Uint8Array;
    }
  | { readonly kind: 'browser' };

export interface Account {
  readonly handle: string;
  readonly server: string;
  readonly primary: string;
  readonly deviceId: string;
  readonly confirmed: boolean;
  /** The server has taken the name and this browser. */
  readonly settled: boolean;
}

/** What is needed to ask for the lock's secret. */
export type LockHint =
  | { readonly kind: 'passphrase' }
  | { readonly kind: 'passkey'; readonly credentialId: Uint8Array; readonly salt: Uint8Array }
  | { readonly kind: 'browser' };

export type Status =
  | { readonly state: 'empty' }
  | { readonly state: 'locked'; readonly account: Account; readonly lock: LockHint }
  | { readonly state: 'open'; readonly account: Account; readonly lock: LockHint };

export interface DeviceSeen {
  readonly deviceId: string;
  readonly since: string;
  readonly expiresAt: string;
  readonly isThisOne: boolean;
  /** The person's own chain names it, too. */
  readonly isAnnounced: boolean;
}

export interface Person {
  readonly fqhn: string;
  readonly handle: string;
  readonly primary: string;
  readonly registeredAt: string;
  readonly isMe: boolean;
  readonly devices: readonly DeviceSeen[];
  /** `none`: the person has published nothing yet; `broken`: what is shown does not verify. */
  readonly chain: 'checked' | 'none' | 'broken' | 'elsewhere';
  readonly keySince?: string;
  readonly subjects: readonly string[];
}

/** Every operation with what goes in and what comes out. */
export interface Operations {
  status: { in: undefined; out: Status };
  handleFault: { in: { handle: string }; out: HandleFault | undefined };
  newKey: { in: undefined; out: undefined };
  useWords: { in: { words: string }; out: { primary: string; handle?: string } };
  create: { in: { handle: string; server: string; secret: LockSecret; restored: boolean }; out: Account };
  settle: { in: { invite?: string }; out: Account };
  words: { in: { secret: LockSecret | undefined }; out: string };
  confirm: { in: undefined; out: Account };
  unlock: { in: { secret: LockSecret }; out: Account };
  person: { in: { address: string }; out: Person | undefined };
  revoke: { in: { deviceId: string; secret: LockSecret }; out: undefined };
  forget: { in: undefined; out: undefined };
}

export type Name = keyof Operations;

export interface Request<N extends Name = Name> {
  readonly id: number;
  readonly name: N;
  readonly input: Operations[N]['in'];
}

export type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly code: string;
      readonly detail: string;
      readonly retryAfterS?: number;
    };

/** The Worker could not do it; `code` says why. */
export class Failed extends Error {
  override readonly name = 'Failed';
  constructor(
    readonly code: string,
    detail: string,
    readonly retryAfterS?: number,
  ) {
    super(detail);
  }
}
