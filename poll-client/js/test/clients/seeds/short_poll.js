// Short polling client
let lastMessageId = 0;

async function pollForUpdates() {
    try {
        const response = await fetch(`/api/poll?last_id=${lastMessageId}`);
        const data = await response.json();

        if (data.messages && data.messages.length > 0) {
            data.messages.forEach(msg => {
                console.log('New message:', msg.content);
                lastMessageId = msg.id;
            });
        }
    } catch (error) {
        console.error('Polling error:', error);
    }

    // Poll every 5 seconds
    setTimeout(pollForUpdates, 5000);
}

pollForUpdates();
