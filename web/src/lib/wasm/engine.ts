// The page's side of the Worker: one typed call.

import workerUrl from './worker.ts?worker&url';
import { Failed, type Answer, type Name, type Operations } from './protocol';

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Failed) => void;
}

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL: (url: string) => string },
  ): { createScriptURL(url: string): string };
}

/** Where Trusted Types hold, an address becomes a script here only, and only this one (the server's policy names it). */
const policy = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy('kez-worker', {
  createScriptURL: () => workerUrl,
});

export class Engine {
  #worker: Worker | undefined;
  #next = 1;
  readonly #waiting = new Map<number, Waiting>();

  ask<N extends Name>(name: N, input: Operations[N]['in']): Promise<Operations[N]['out']> {
    this.#worker ??= this.#start();
    const id = this.#next++;
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker?.postMessage({ id, name, input });
    }) as Promise<Operations[N]['out']>;
  }

  /** Ends the Worker: every key that was in memory goes with it. */
  end(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(new Failed('ended', 'locked'));
    this.#waiting.clear();
  }

  #start(): Worker {
    const worker = new Worker(policy?.createScriptURL(workerUrl) ?? workerUrl, {
      type: 'module',
      name: 'kez',
    });
    worker.addEventListener('message', (event: MessageEvent<Answer>) => {
      const answer = event.data;
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.ok) waiting?.resolve(answer.value);
      else waiting?.reject(new Failed(answer.code, answer.detail, answer.retryAfterS));
    });
    worker.addEventListener('error', () => {
      for (const { reject } of this.#waiting.values())
        reject(new Failed('no_engine', 'the Worker does not start'));
      this.#waiting.clear();
    });
    return worker;
  }
}
