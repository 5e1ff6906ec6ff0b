// How values are written, and small pieces of page. What came over the wire is shown through textContent only.

export const byId = (id) => document.getElementById(id);

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** A copy of what a template holds. */
export const copyOf = (template) => byId(template).content.firstElementChild.cloneNode(true);

export function showMs(ms) {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 1) return '< 1 ms';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function showBytes(count) {
  if (!Number.isFinite(count)) return '–';
  if (count < 1000) return `${Math.round(count)} B`;
  return count < 1e6 ? `${(count / 1000).toFixed(count < 1e4 ? 1 : 0)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export function showContent(content) {
  if (content instanceof Uint8Array) return `${content.length} bytes`;
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

export const counted = (count, noun) => `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;

/** A word as a POSIX shell takes it. */
export function shellWord(text) {
  return /^[\w./:=?&-]+$/.test(text) && !/[?&]/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The value below which that share of the values lies. */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
}

export function query(path, channels, more = {}) {
  const pairs = [...channels.map((channel) => ['channel', channel]), ...Object.entries(more)];
  return `${path}?${new URLSearchParams(pairs)}`;
}

/** Says something to everyone, screen readers too. `tone`: '', 'good' or 'bad'. */
export function say(text, tone = '', where = byId('said')) {
  where.dataset.tone = tone;
  where.textContent = text;
}

/** Puts a text on the clipboard; plain http beyond localhost has no clipboard but the old command. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element('textarea', 'visually-hidden');
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand('copy');
    field.remove();
    if (!isCopied) throw new Error('the browser keeps its clipboard to itself');
  }
}

/** A button that copies; for a moment it says that it did. `what` is for those who do not see what it stands beside. */
export function copyButton(text, what, button = element('button', 'quiet', 'Copy')) {
  button.type = 'button';
  const [word] = button.childNodes;
  const { data: label } = word;
  let timer;
  if (what) button.append(element('span', 'visually-hidden', ` ${what}`));
  button.addEventListener('click', async () => {
    clearTimeout(timer);
    try {
      await copy(text());
      word.data = 'Copied';
    } catch {
      word.data = 'Not copied';
    }
    timer = setTimeout(() => { word.data = label; }, 1500);
  });
  return button;
}
