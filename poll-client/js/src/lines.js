// The lines of a body that arrives in pieces, a list for each piece.
//
// A line may come in many pieces, and a piece may end within a character.

import { PollError } from './failure.js';

// Characters of one line: more than the largest message that a server can be told to take.
const LONGEST = 1 << 27;

export async function* linesOf(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    const lines = decoder.decode(value, { stream: !done }).split('\n');
    const last = lines.pop();
    if (lines.length) {
      lines[0] = rest.join('') + lines[0];
      rest = [];
      length = 0;
    }
    rest.push(last);
    length += last.length;
    if (length > LONGEST) throw new PollError('malformed', 'a line without an end');
    if (done) return;
    yield lines.filter((line) => line.trim());
  }
}
