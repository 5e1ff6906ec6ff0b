// The protocol's own suite against the server at POLL_URL, which waits about a second in long polls.
import { runConformanceTests } from "@durable-streams/server-conformance-tests";

runConformanceTests({
  baseUrl: process.env.POLL_URL,
  longPollTimeoutMs: 2_000,
  subscriptions: true,
});
