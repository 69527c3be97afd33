import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DecodeError, integer, list, optionalText, record, text } from './decode';

it('names what it was promised', () => {
  const from = record({ a: 'x', n: 7, l: [1] });
  expect([text(from, 'a'), integer(from, 'n'), list(from, 'l'), optionalText(from, 'none')]).toEqual([
    'x',
    7,
    [1],
    undefined,
  ]);
});

it('throws one kind of error for whatever else comes', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const read of [
        () => text(record(value), 'a'),
        () => integer(record(value), 'a'),
        () => list(record(value), 'a'),
      ]) {
        try {
          read();
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }
    }),
  );
});
