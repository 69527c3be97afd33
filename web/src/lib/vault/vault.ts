// What this browser keeps of an account: one record in IndexedDB. Secrets lie in it only sealed.

import { openDB, type DBSchema, type IDBPDatabase } from 'idb';

/** How the keys are locked. */
export type Lock =
  | {
      readonly kind: 'passphrase';
      readonly salt: Uint8Array;
      readonly memoryKib: number;
      readonly passes: number;
    }
  | { readonly kind: 'passkey'; readonly credentialId: Uint8Array; readonly salt: Uint8Array }
  /** A key that WebCrypto gives to nobody; whoever can use this browser can use it. */
  | { readonly kind: 'browser'; readonly key: CryptoKey };

/** AES-256-GCM. */
export interface Sealed {
  readonly iv: Uint8Array;
  readonly bytes: Uint8Array;
}

export interface VaultRecord {
  readonly version: 1;
  readonly handle: string;
  readonly server: string;
  readonly primary: string;
  readonly deviceId: string;
  readonly lock: Lock;
  /** The seed, opened only to enrol, revoke, delete, or to show the words. */
  readonly seed: Sealed;
  /** Auth seed, MLS seed, data key: 3 times 32 bytes. */
  readonly keys: Sealed;
  /** Signed envelopes that the server has not taken yet. */
  readonly pending: { readonly registration?: string; readonly device?: string; readonly announce?: boolean };
  /** The owner has shown that the recovery words were written down. */
  readonly confirmed: boolean;
}

interface Schema extends DBSchema {
  vault: { key: 'account'; value: VaultRecord };
}

let opening: Promise<IDBPDatabase<Schema>> | undefined;

function database(): Promise<IDBPDatabase<Schema>> {
  opening ??= openDB<Schema>('kez', 1, {
    upgrade: (db) => {
      db.createObjectStore('vault');
    },
  });
  return opening;
}

export async function load(): Promise<VaultRecord | undefined> {
  return (await database()).get('vault', 'account');
}

/** Returns when it is on disk. */
export async function save(record: VaultRecord): Promise<void> {
  const transaction = (await database()).transaction('vault', 'readwrite', { durability: 'strict' });
  await transaction.store.put(record, 'account');
  await transaction.done;
}

export async function clear(): Promise<void> {
  const transaction = (await database()).transaction('vault', 'readwrite', { durability: 'strict' });
  await transaction.store.clear();
  await transaction.done;
}
