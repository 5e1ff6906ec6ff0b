// Other people's clients of server-sent events, each behind one function, used as its documentation says.
//
// `open(url, position, { message, over })` follows the stream from a position, calls `message(data, id)` with each
// message, `over()` when the client has given up, and gives a function that closes it.

import { createRequire } from 'node:module';
import { EventSource } from 'eventsource';
import EventSource2 from 'eventsource-2';
import { createEventSource } from 'eventsource-client';
import ReconnectingEventSource from 'reconnecting-eventsource';

/** In the address: EventSource cannot send fields of its own. */
const at = (url, position) => (position ? `${url}&lastEventId=${position}` : url);

const byEventSource = (Class) => (url, position, { message, over }) => {
  const source = new Class(at(url, position));
  source.addEventListener('message', ({ data, lastEventId }) => message(data, lastEventId));
  source.addEventListener('error', () => source.readyState === Class.CLOSED && over());
  return () => source.close();
};

// It is made for pages.
const pageful = (work) => {
  globalThis.document ??= Object.assign(new EventTarget(), { hidden: false });
  globalThis.window ??= globalThis;
  return work();
};
const { fetchEventSource } = pageful(() => createRequire(import.meta.url)('@microsoft/fetch-event-source'));

/** `stopsAt502`: that status ends it. `stopsAtEnd`: a response that ends as it should ends it. */
export const OTHERS = {
  // Of statuses but 200 it survives 500, 502, 503 and 504.
  'eventsource 2': { stopsAt502: false, stopsAtEnd: false, open: byEventSource(EventSource2) },
  // Any status but 200 ends it, as it does a browser's.
  'eventsource 4': { stopsAt502: true, stopsAtEnd: false, open: byEventSource(EventSource) },
  'eventsource-client': {
    stopsAt502: false,
    stopsAtEnd: false,
    open: (url, position, { message }) => {
      const source = createEventSource({ url, initialLastEventId: position, onMessage: ({ event, data, id }) => event || message(data, id) });
      return () => source.close();
    },
  },
  '@microsoft/fetch-event-source': {
    stopsAt502: false,
    stopsAtEnd: true,
    open: (url, position, { message, over }) => {
      const end = new AbortController();
      const headers = position ? { 'last-event-id': position } : {};
      const onmessage = ({ event, data, id }) => event || message(data, id);
      fetchEventSource(url, { signal: end.signal, headers, onmessage, openWhenHidden: true }).then(() => end.signal.aborted || over());
      return () => end.abort();
    },
  },
  'reconnecting-eventsource': {
    stopsAt502: false,
    stopsAtEnd: false,
    open: (url, position, { message }) => {
      const source = new ReconnectingEventSource(url, { eventSourceClass: EventSource, lastEventId: position, max_retry_time: 200 });
      // By `addEventListener`: it keeps no position for `onmessage`.
      source.addEventListener('message', ({ data, lastEventId }) => message(data, lastEventId));
      return () => source.close();
    },
  },
};
