// Long polling client
let lastMessageId = 0;

async function longPoll() {
    try {
        const response = await fetch(`/api/longpoll?last_id=${lastMessageId}`);
        const data = await response.json();

        if (data.messages && data.messages.length > 0) {
            data.messages.forEach(msg => {
                console.log('New message:', msg.content);
                lastMessageId = msg.id;
            });
        }
    } catch (error) {
        console.error('Long polling error:', error);
        await new Promise(resolve => setTimeout(resolve, 5000));
    }

    // Immediately reconnect
    longPoll();
}

longPoll();
