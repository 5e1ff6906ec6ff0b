// The protocol's own client, unchanged, while the server at POLL_URL is killed: a producer appends numbers, and three readers,
// one for each way to follow a stream, must read each of them once and in order. Says how far the producer is.
import { createFetchWithBackoff, DurableStream, IdempotentProducer, stream } from "@durable-streams/client";

const NUMBERS = 400;
const AT_ONCE = 5;
const url = `${process.env.POLL_URL}/v1/stream/killed`;
const backoffOptions = { initialDelay: 10, maxDelay: 200, multiplier: 1.3 };

await DurableStream.create({ url, contentType: "application/json", backoffOptions });

async function publish() {
  const handle = new DurableStream({ url, contentType: "application/json" });
  const producer = new IdempotentProducer(handle, "counter", {
    maxInFlight: 1,
    // The producer itself leaves it to its program to send again what was not answered.
    fetch: createFetchWithBackoff(fetch, backoffOptions),
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
      const response = await stream({ url, offset: seen.offset, live, backoffOptions, warnOnHttp: false });
      response.subscribeJson(({ items, offset }) => {
        for (const number of items) {
          if (number !== seen.number + 1) fail(new Error(`${live}: ${number} came after ${seen.number}`));
          seen.number = number;
        }
        seen.offset = offset;
      });
      await response.closed;
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
