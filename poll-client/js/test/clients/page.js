// What a page gives to a script that was written for one: addresses relative to the server, and here also timers that
// are five times as fast, and what it prints as lines of JSON.

const PACE = 5;
const { fetch, setTimeout } = globalThis;
const { SERVER } = process.env;

globalThis.fetch = (url, init) => fetch(url.replace('https://api.example.com', '/api').replace(/^/, SERVER), init);
globalThis.setTimeout = (run, ms) => setTimeout(run, ms / PACE);
console.log = (...said) => process.stdout.write(`${JSON.stringify(said)}\n`);
console.error = (...said) => process.stdout.write(`${JSON.stringify(said.map(String))}\n`);
globalThis.showNotification = (message) => console.log('shown', message);
