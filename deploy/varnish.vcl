# Varnish in front of poll. It keeps none of poll's answers, which are private or soon stale: this file is for sites
# that have Varnish in front of everything. It is written for Varnish 7.1.
#
# Start the server behind it so that it knows its public name and whose X-Forwarded-For to believe:
#
#   poll-server --listen 127.0.0.1:8080 --host poll.example.com --trusted-proxy 127.0.0.1
#   varnishd -a :80 -f varnish.vcl -p pipe_timeout=130
#
# Its pipe_timeout has to be longer than the longest wait of a golongpoll client, 120 s; the 60 s of its default are
# enough for all others. Adapt the lines marked CHANGE. Each setting says what goes wrong without it.

vcl 4.1;

backend poll {
    .host = "127.0.0.1"; # CHANGE
    .port = "8080"; # CHANGE
    .connect_timeout = 5s;
    # Longer than a stream's 15 s of silence.
    .between_bytes_timeout = 60s;
}

sub vcl_recv {
    # Varnish adds the client's address to X-Forwarded-For itself; only that is to be believed.
    unset req.http.X-Real-IP;
    unset req.http.X-Eventsource;

    if (req.method == "GET" && (req.http.Accept ~ "text/event-stream" || req.url ~ "[?&]format=sse(&|$)")) {
        set req.http.X-Eventsource = "yes";
        return (pass);
    }
    # What waits is piped: Varnish would have identical polls queue for the first one's answer, and would not tell poll
    # that a client has left.
    if (req.method == "GET" && req.url ~ "^/(api/(longpoll|stream|push|poll/|progress)|events|messages)") {
        return (pipe);
    }
    return (pass);
}

sub vcl_pipe {
    # One request a connection; a next one would pass through unseen.
    set bereq.http.Connection = "close";
    return (pipe);
}

# A browser's EventSource gives up for good at any answer but a 200, such as the 503 of a proxy whose server restarts,
# or of poll itself while it drains. An event stream that holds nothing and ends makes it ask again after a second, with
# its Last-Event-ID.
sub vcl_backend_response {
    if (bereq.http.X-Eventsource && beresp.status >= 502 && beresp.status <= 504) {
        return (error(beresp.status, "away"));
    }
    # Each message leaves as it comes.
    set beresp.do_stream = true;
}

sub vcl_backend_error {
    if (bereq.http.X-Eventsource) {
        set beresp.status = 200;
        set beresp.http.Content-Type = "text/event-stream";
        set beresp.http.Cache-Control = "no-cache, no-transform";
        # Nothing is in it, so any page may read it; else an EventSource of another origin would give up.
        if (bereq.http.Origin) {
            set beresp.http.Access-Control-Allow-Origin = bereq.http.Origin;
            set beresp.http.Access-Control-Allow-Credentials = "true";
        }
        set beresp.body = {"retry: 1000

"};
        return (deliver);
    }
}
