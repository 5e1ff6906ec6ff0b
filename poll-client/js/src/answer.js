// What the server said, as items in the order of their delivery: gaps, messages.
//
// One shape whatever the pattern: polls have flags and messages without cursors, streams have lines.

/** A message as listeners get it. Bytes that are not text travel as base64, and are bytes again here. */
function message({ id, uuid, timestamp, encoding, cursor }, content, channel) {
  if (encoding === 'base64') content = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  return { type: 'message', channel, id, uuid, content, timestamp, cursor };
}

/** Items of a poll's answer. With several channels, `missed` and `reset` are lists. */
export function itemsOfAnswer({ reset, missed, messages }, [only]) {
  const resets = listed(reset, only).map((gap) => gap.channel ?? gap);
  const gaps = listed(missed, only).map((gap) => ({ type: 'missed', channel: gap.channel ?? only, missed: gap.missed ?? gap }));
  return [
    ...resets.map((channel) => ({ type: 'reset', channel })),
    ...gaps.filter(({ channel }) => !resets.includes(channel)),
    ...messages.map((one) => message(one, one.content, one.channel ?? only)),
  ];
}

function listed(flag, only) {
  if (flag === true) return [only];
  return flag ? [flag].flat() : [];
}

/** The item of a stream's line, undefined if it has none. */
export function itemOfLine(line, [only]) {
  const { type, channel = only, missed } = line;
  if (type === 'update') return message(line, line.message, channel);
  if (type === 'reset') return missed ? { type: 'missed', channel, missed } : { type, channel };
  if (type === 'stalled' || type === 'resumed') return { type };
}
