// The protocol's own client, unchanged, while the servers at POLL_URLS, which share a stream, are killed: a producer appends
// numbers, and three readers, one for each way to follow a stream, must read each of them once and in order. Where there are
// several servers, each request of the producer goes to the next one, and so does a reader whose response broke off. Says how
// far the producer is.
import { createFetchWithBackoff, DurableStream, IdempotentProducer, stream } from "@durable-streams/client";

const NUMBERS = 400;
const AT_ONCE = 5;
const path = `/v1/stream/killed-${Date.now()}`;
const urls = process.env.POLL_URLS.split(",").map((server) => server + path);
const backoffOptions = { initialDelay: 10, maxDelay: 200, multiplier: 1.3 };

await DurableStream.create({ url: urls[0], contentType: "application/json", backoffOptions });

let turn = 0;
const next = () => urls[turn++ % urls.length];

async function publish() {
  const handle = new DurableStream({ url: urls[0], contentType: "application/json" });
  const producer = new IdempotentProducer(handle, "counter", {
    maxInFlight: 1,
    // The producer itself leaves it to its program to send again what was not answered.
    fetch: createFetchWithBackoff((_, init) => fetch(next(), init), backoffOptions),
    onError: fail,
  });
  for (let number = 1; number <= NUMBERS; number += 1) {
    producer.append(String(number));
    if (number % AT_ONCE === 0) {
      await producer.flush();
      console.log(`published ${number}`);
    }
  }
  await producer.close();
}

// A response that breaks off is an error to its program, which goes on from the last offset, as the client's manual says.
async function read(live) {
  const seen = { number: 0, offset: "-1", breaks: 0 };
  while (seen.number < NUMBERS) {
    try {
      const response = await stream({ url: next(), offset: seen.offset, live, backoffOptions, warnOnHttp: false });
      const ended = new Promise((resolve) => {
        response.subscribeJson(({ items, offset, streamClosed }) => {
          for (const number of items) {
            if (number !== seen.number + 1) fail(new Error(`${live}: ${number} came after ${seen.number}`));
            seen.number = number;
          }
          seen.offset = offset;
          if (streamClosed) resolve();
        });
      });
      await response.closed;
      // The client says so once it asks for nothing more, which may be before it gives the last numbers.
      if (response.streamClosed && seen.number < NUMBERS) await ended;
    } catch {
      seen.breaks += 1;
    }
  }
  return `${live === true ? "its own choice" : live} ${seen.breaks}`;
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

const [, ...breaks] = await Promise.all([publish(), ...["long-poll", "sse", true].map(read)]);
console.log(`each of ${NUMBERS} numbers was read once and in order; responses that broke off: ${breaks.join(", ")}`);
