/** A word that is asked for. */
export interface Question {
  /** From 1, as on the sheet. */
  readonly position: number;
  readonly word: string;
}

/** Three different words of the sheet, one of each third, chosen by `chance` (three random numbers). */
export function recall(words: readonly string[], chance: Uint32Array): readonly Question[] {
  const third = Math.floor(words.length / 3);
  return [0, 1, 2].flatMap((part) => {
    const index = part * third + ((chance[part] ?? 0) % third);
    const word = words[index];
    return word === undefined ? [] : [{ position: index + 1, word }];
  });
}
