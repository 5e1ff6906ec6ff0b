// Chunked streaming client
async function streamUpdates() {
    const response = await fetch('/api/stream');
    const reader = response.body.getReader();
    const decoder = new TextDecoder();

    while (true) {
        const {value, done} = await reader.read();
        if (done) break;

        const chunk = decoder.decode(value);
        const lines = chunk.split('\n').filter(line => line.trim());

        for (const line of lines) {
            try {
                const data = JSON.parse(line);
                console.log('Stream update:', data);
            } catch (e) {
                console.error('Parse error:', e);
            }
        }
    }
}

streamUpdates();
