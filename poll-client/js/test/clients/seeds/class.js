class LongPollingClient {
constructor(baseUrl, channel, options = {}) {
this.baseUrl = baseUrl;
this.channel = channel;
this.timeout = options.timeout || 30000;
this.retryDelay = options.retryDelay || 1000;
this.maxRetries = options.maxRetries || 5;
this.isRunning = false;
this.lastTimestamp = 0;
this.retryCount = 0;
this.abortController = null;
this.callbacks = {
message: [],
error: [],
connected: [],
disconnected: []
};
}
on(event, callback) {
if (this.callbacks[event]) {
this.callbacks[event].push(callback);
}
}
emit(event, data) {
if (this.callbacks[event]) {
this.callbacks[event].forEach(cb => cb(data));
}
}
async start() {
if (this.isRunning) return;
this.isRunning = true;
this.emit('connected', { channel: this.channel });
this.poll();
}
stop() {
this.isRunning = false;
if (this.abortController) {
this.abortController.abort();
}
this.emit('disconnected', { channel: this.channel });
}
async poll() {
while (this.isRunning) {
try {
this.abortController = new AbortController();
const url = `${this.baseUrl}/poll/${this.channel}?` +
`since=${this.lastTimestamp}&timeout=${this.timeout / 1000}`;
const response = await fetch(url, {
signal: this.abortController.signal,
// Important: set timeout slightly longer than server timeout
timeout: this.timeout + 5000
});
if (!response.ok) {
throw new Error(`HTTP ${response.status}`);
}
const data = await response.json();
this.retryCount = 0; // Reset on success
if (data.status === 'message') {
this.lastTimestamp = data.timestamp;
this.emit('message', data.data);
}
// On timeout, just continue polling
} catch (error) {
if (error.name === 'AbortError') {
continue; // Normal stop
}
this.emit('error', error);
this.retryCount++;
if (this.retryCount >= this.maxRetries) {
this.emit('disconnected', { reason: 'max_retries' });
this.isRunning = false;
return;
}
// Exponential backoff
const delay = this.retryDelay * Math.pow(2, this.retryCount - 1);
await this.sleep(Math.min(delay, 30000));
}
}
}
sleep(ms) {
return new Promise(resolve => setTimeout(resolve, ms));
}
}
// Usage
const client = new LongPollingClient('https://api.example.com', 'notifications');
client.on('message', (data) => {
console.log('Received:', data);
showNotification(data);
});
client.on('error', (error) => {
console.error('Long polling error:', error);
});
client.start();
