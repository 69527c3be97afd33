import fc from 'fast-check';
import { expect, it } from 'vitest';
import { recall } from './recall';

it('asks for three different words of the sheet, in order', () => {
  const sheet = Array.from({ length: 24 }, (_, index) => `word${index + 1}`);
  fc.assert(
    fc.property(fc.uint32Array({ minLength: 3, maxLength: 3 }), (chance) => {
      const questions = recall(sheet, chance);
      const positions = questions.map(({ position }) => position);
      expect(positions).toHaveLength(3);
      expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b));
      for (const { position, word } of questions) expect(word).toBe(`word${position}`);
    }),
  );
});
