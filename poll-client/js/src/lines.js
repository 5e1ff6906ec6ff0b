// The lines of a body that arrives in pieces, a list for each piece.
//
// A line may come in many pieces, and a piece may end within a character.

export async function* linesOf(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    const lines = decoder.decode(value, { stream: !done }).split('\n');
    lines[0] = rest + lines[0];
    rest = lines.pop();
    if (done) return;
    yield lines.filter((line) => line.trim());
  }
}
