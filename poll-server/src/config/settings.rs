//! Every setting in one table: its name, its default, and why the default is what it is.
//!
//! What: the flag, the environment variable, the file key and the `--help` text are all made from a row here.
//! Why: a default written in three places is three defaults.
//! Not here: valid values (`value.rs`), sources of values (`typed.rs`).

/// How often a setting may be set, and whether it has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// One value.
    One,
    /// Any number of values; commas separate them in the environment, an array holds them in the file.
    Many,
    /// The same for secrets: one that is set but empty is an error, while other empty settings count as not set. An empty
    /// secret means that a deployment failed to provide it, and ignoring it would open the server.
    Secrets,
    /// On or off; the bare flag means on.
    Switch,
}

impl Takes {
    /// Whether it may be set more than once.
    pub(crate) fn many(self) -> bool {
        matches!(self, Self::Many | Self::Secrets)
    }
}

/// The value of a setting that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    /// As if this text had been typed.
    Text(&'static str),
    /// Computed at start, or none; the text is for `--help` only.
    Shown(&'static str),
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// At the next start.
    AtStart,
    /// On SIGHUP as well.
    OnReload,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The flag without its dashes; also the file key.
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) changes: Changes,
    /// The placeholder for the value in `--help`.
    pub(crate) value: &'static str,
    pub(crate) default: Default,
    /// The heading in `--help`.
    pub(crate) group: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
    /// The reason for the default.
    pub(crate) why: &'static str,
}

impl Setting {
    /// The environment variable: `max-poll-seconds` is `POLL_MAX_POLL_SECONDS`.
    pub(crate) fn variable(&self) -> String {
        format!("POLL_{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// The default as `--help` shows it.
    pub(crate) const fn shown(&self) -> &'static str {
        match self.default {
            Default::Text(text) | Default::Shown(text) => text,
        }
    }
}

/// The row called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Shorthand for a row of the table.
const fn row(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
    why: &'static str,
) -> Setting {
    let changes = Changes::AtStart;
    Setting { name, takes: Takes::One, changes, value, default: Default::Text(default), group, help, why }
}

const fn switch(group: &'static str, name: &'static str, help: &'static str, why: &'static str) -> Setting {
    Setting { takes: Takes::Switch, ..row(group, name, "on|off", "off", help, why) }
}

const fn computed(setting: Setting) -> Setting {
    Setting { default: Default::Shown(setting.shown()), ..setting }
}

const fn many(setting: Setting) -> Setting {
    Setting { takes: Takes::Many, ..setting }
}

const fn secrets(setting: Setting) -> Setting {
    Setting { takes: Takes::Secrets, ..setting }
}

const fn reloaded(setting: Setting) -> Setting {
    Setting { changes: Changes::OnReload, ..setting }
}

const PLACE: &str = "Where it listens and stores";
const SIZE: &str = "How many, on this server alone (0 = unlimited)";
const KEEP: &str = "What is retained (0 = unlimited)";
const TIME: &str = "Sizes and times";
const TRUST: &str = "Who may";
const DOORS: &str = "Dialects";
const RUN: &str = "Running";

const STORES: &str = if cfg!(feature = "redis") {
    "where messages are kept: disk:PATH, memory:, or a log that several servers share: redis://HOST, rediss://HOST (TLS), \
     valkey://HOST, unix:PATH, redis+sentinel://HOST,HOST/MASTER, redis+cluster://HOST,HOST (prefer the environment for one \
     with a password, ps shows flags)"
} else {
    "where messages are kept: disk:PATH, memory:"
};

/// The table. Its order is the order of `--help`.
#[rustfmt::skip]
pub(crate) const SETTINGS: &[Setting] = &[
    many(row(PLACE, "listen", "ADDR", "127.0.0.1:8080", "IP:PORT to listen on (repeatable; port 0 picks a free one)",
        "loopback: being reachable by strangers is a decision, not a default")),
    #[cfg(feature = "tls")]
    many(computed(row(PLACE, "tls-cert", "FILE", "none", "certificate (PEM) with which every --listen address speaks TLS, and behind it those that sign it (repeatable: clients choose by name, the first is for all others); read again on SIGHUP and when it changes",
        "TLS needs a name and a key; without them a proxy in front has it"))),
    #[cfg(feature = "tls")]
    many(computed(row(PLACE, "tls-key", "FILE", "none", "private key (PEM) of the --tls-cert in the same place (repeatable)",
        "each certificate has its own"))),
    #[cfg(feature = "tls")]
    computed(row(PLACE, "tls-client-ca", "FILE", "none", "certificates (PEM) of the authorities that sign client certificates, which are then demanded; one names the client of the limits",
        "most clients have none, and prove themselves by a token")),
    #[cfg(feature = "tls")]
    many(computed(row(PLACE, "acme-domain", "NAME", "none", "DNS name for which a certificate is obtained and renewed by ACME (TLS-ALPN-01, so port 443 of that name must lead here); every --listen address then speaks TLS (repeatable; giving it agrees to the authority's terms)",
        "an authority is asked only for a name that was given, and only by one who may speak for it"))),
    #[cfg(feature = "tls")]
    computed(row(PLACE, "acme-email", "ADDRESS", "none", "where the authority writes to, if at all",
        "most authorities write to no one any more")),
    #[cfg(feature = "tls")]
    row(PLACE, "acme-directory", "URL", "https://acme-v02.api.letsencrypt.org/directory", "the authority's ACME directory: https, or http on this machine",
        "Let's Encrypt: browsers trust it, and it costs nothing"),
    #[cfg(feature = "tls")]
    computed(row(PLACE, "acme-folder", "DIR", "acme in the folder of a disk: store, else poll-acme", "where the ACME account and certificates are kept, with their private keys",
        "beside the store: what a restart finds again is not asked for again, and authorities limit how often they are asked")),
    #[cfg(feature = "tls")]
    many(computed(row(PLACE, "redirect-listen", "ADDR", "none", "IP:PORT to listen on without TLS, where every request is redirected to https (repeatable)",
        "a client that was never told of http needs no redirect"))),
    row(PLACE, "store", "URL", "disk:poll-data", STORES,
        "what was acknowledged should be there after a crash"),
    #[cfg(feature = "redis")]
    row(PLACE, "redis-prefix", "P", "poll:", "what the names of all keys in Redis or Valkey begin with",
        "servers that share a log share a prefix; two logs in one Redis need two"),
    #[cfg(feature = "redis")]
    row(PLACE, "redis-durability", "MODE", "memory", "when a publish is answered that goes to Redis or Valkey: memory (it has it), replicas=N (so many replicas have it too), disk (its file has it)",
        "how Redis is used most; readers are told of what it lost, and the others cost a publisher a round trip to replicas or a disk"),
    row(PLACE, "durability", "MODE", "commit", "when a publish is answered that goes to a disk: store: commit, or interval=MS",
        "acknowledged should mean kept; interval trades that for latency, and by how much is said"),
    computed(row(PLACE, "workers", "N", "one a core", "worker threads, each with a runtime of its own",
        "more threads than cores only switch, fewer leave cores idle")),
    computed(row(SIZE, "max-sockets", "N", "nine tenths of the open-file limit", "open connections; beyond it accepting pauses",
        "the last tenth is left for the store, the logs and the listeners")),
    computed(row(SIZE, "max-sockets-per-address", "N", "half of max-sockets", "open connections of one remote address that is no trusted proxy; one more is closed",
        "one address must not use up what all share; a proxy speaks for many")),
    reloaded(row(SIZE, "max-connections", "N", "100000", "waiting requests and open streams in all",
        "about 160 MB of HTTP/1.1 waiters, and the kernel's memory for their sockets: what a small machine holds")),
    reloaded(row(SIZE, "max-per-channel", "N", "10000", "waiting requests and open streams on one channel",
        "one popular channel may take a tenth of all, never everything")),
    reloaded(row(SIZE, "max-per-client", "N", "6", "waiting requests and open streams of a client that names itself",
        "what a browser opens to one host over HTTP/1.1")),
    reloaded(row(SIZE, "max-per-address", "N", "1024", "waiting requests and open streams of one remote address",
        "a made-up client name must be no way round; an office behind one address must fit")),
    row(SIZE, "max-channels-per-request", "N", "100", "channels that one request may read",
        "twice what a large dashboard follows; their cursor stays below 4 KiB"),
    reloaded(row(SIZE, "max-auth-failures", "N", "20", "tokens that are not known from one address, a minute; beyond it 429 in place of 401",
        "more than a person mistypes; a good token is judged first and never refused")),
    row(SIZE, "max-streams-per-connection", "N", "1000", "HTTP/2 streams that one connection may have open",
        "ten times what browsers use: one connection may carry a gateway's waiters, not a flood"),
    row(SIZE, "max-control-frames", "N", "100", "HTTP/2 control frames a second that ask for nothing, a connection, with ten seconds' worth at once",
        "a client that measures its round trip all the time sends a few; what answers our own frames is free"),
    reloaded(row(SIZE, "rate-limit", "R", "off", "requests a second an address (decimal); a 304 costs a tenth",
        "an unexpected limit breaks clients that behave; 10 is a sane value to begin with")),
    reloaded(computed(row(SIZE, "rate-burst", "B", "twice the rate", "requests an address may make at once, given --rate-limit",
        "a page load fetches several things in its first second"))),
    row(KEEP, "retain-messages", "N", "1000", "messages retained a channel",
        "as many as one answer can give, so that a poll after a pause needs one request"),
    row(KEEP, "retain-seconds", "S", "300", "age of a retained message",
        "longer than any reconnect with backoff, short enough to bound memory"),
    row(KEEP, "retain-bytes", "N", "1073741824", "bytes retained in all channels together",
        "1 GiB: fits the smallest machine worth running this on"),
    row(KEEP, "memory-bytes", "N", "67108864", "memory for what peers make the server keep beside the messages (KiB, MiB and GiB are understood)",
        "64 MiB for keys, receipts, names, request bodies, unread answers and cold reads: a small machine has that beside its log"),
    row(KEEP, "max-channels", "N", "1000000", "channels in all; beyond it a new channel is 429",
        "a channel costs some hundred bytes: a million is still well under the bytes above"),
    row(KEEP, "idempotency-seconds", "S", "300", "how long an Idempotency-Key is remembered (0 = never)",
        "as long as the message it answers for is retained"),
    row(TIME, "max-payload-bytes", "N", "65536", "size of one message; beyond it 413",
        "a message is a notice, not a file; 64 KiB keeps an answer of many within 1 MiB"),
    row(TIME, "max-head-bytes", "N", "16384", "size of a request's head; beyond it 431",
        "four times the largest head of ordinary browsers with their cookies"),
    row(TIME, "max-poll-seconds", "S", "50", "longest wait of a long poll; longer asks are shortened, and each ends a second early",
        "HAProxy commonly cuts an answer at 50 s, nginx at 60 s: a wait must be over before"),
    row(TIME, "heartbeat-seconds", "S", "15", "silence on a stream before a heartbeat is sent",
        "half of the shortest idle limit met in proxies (30 s)"),
    row(TIME, "keep-alive-seconds", "S", "75", "how long an idle connection is kept",
        "longer than a minute between polls, and than the 60 s of proxies in front, so that they close first"),
    row(TIME, "header-seconds", "S", "10", "from a head's first byte to its end",
        "ample for a phone on a bad link, short for one who sends a byte a second on purpose"),
    row(TIME, "body-seconds", "S", "10", "for a request's body; beyond it 408",
        "64 KiB in 10 s is 6.5 KB/s: slower than that is a broken link"),
    row(TIME, "cold-read-seconds", "S", "5", "how long a request that is no long poll waits for messages that are not in memory; beyond it 503",
        "ten times what a busy disk takes, and short of what those in front of the server wait"),
    row(TIME, "stall-seconds", "S", "30", "in which a reader must take 4 KiB, or what is left, of a write",
        "outlasts a change of networks, frees what a vanished reader holds, or one that takes a byte now and then"),
    row(TIME, "drain-seconds", "S", "10", "time to answer everyone after SIGTERM",
        "a third of the 30 s that orchestrators commonly give"),
    row(TIME, "drain-delay-seconds", "S", "0", "time that connections are still taken after /readyz turned 503",
        "not needed without a load balancer; behind one give its probe interval"),
    many(computed(row(TRUST, "trusted-proxy", "CIDR", "none", "peers whose X-Forwarded-For and -Proto are believed (repeatable)",
        "anyone can write those headers"))),
    many(computed(row(TRUST, "cors-origin", "ORIGIN", "none", "other origins whose pages may read and write, or * (repeatable)",
        "a page elsewhere is not a friend until it is named"))),
    many(computed(row(TRUST, "host", "NAME", "none", "further names that a loopback server answers to (repeatable)",
        "any other name pointing to loopback is DNS rebinding"))),
    reloaded(secrets(computed(row(TRUST, "publish-token", "T", "none", "bearer token that may publish (repeatable; prefer the environment, ps shows flags)",
        "open on loopback; beyond loopback a warning says so at every start")))),
    reloaded(secrets(computed(row(TRUST, "subscribe-token", "T", "none", "bearer token that may read (repeatable; prefer the environment, ps shows flags)",
        "as for publishing")))),
    reloaded(many(computed(row(TRUST, "jwt-key", "FILE", "none", "public keys (PEM: RSA, P-256, P-384 or Ed25519) that sign tokens; both rights want a token then (repeatable; read again on SIGHUP)",
        "the holder of a key decides who may do what")))),
    reloaded(many(computed(row(TRUST, "jwt-secret-file", "FILE", "none", "secret that signs tokens by HS256, HS384 or HS512: a line of text of 32 bytes or more (repeatable; read again on SIGHUP)",
        "a shared secret is enough where one program makes the tokens")))),
    reloaded(many(computed(row(TRUST, "jwks-url", "URL", "none", "set of public keys (JWKS), https or http to this machine; fetched every five minutes and for a key that is not known (repeatable)",
        "an identity provider rotates its keys")))),
    reloaded(many(computed(row(TRUST, "jwt-issuer", "I", "none", "accepted `iss` of signed tokens (repeatable)",
        "a key that signs for one issuer only needs none")))),
    reloaded(many(computed(row(TRUST, "jwt-audience", "A", "none", "accepted `aud` of signed tokens (repeatable)",
        "keys that sign for several services need one: a token for another is not for this one")))),
    reloaded(secrets(computed(row(TRUST, "admin-token", "T", "none", "token that /metrics wants, as a bearer token or as the password of any user (repeatable; prefer the environment, ps shows flags)",
        "metrics name no channel and no client, but how much there is of each")))),
    many(computed(row(TRUST, "admin-listen", "ADDR", "none", "IP:PORT where /metrics is in place of every other address (repeatable); beyond loopback it needs --admin-token",
        "one address is simpler; a network of its own is safer"))),
    row(DOORS, "golongpoll-max-timeout-seconds", "S", "120", "longest timeout that /events accepts (whole seconds)",
        "golongpoll's own default: its clients' errors name it"),
    switch(DOORS, "golongpoll-delete-after-retrieval", "an event given once is not given by /events again",
        "golongpoll's own default"),
    switch(DOORS, "compress", "answers of polls over 1 KiB are compressed for clients whose Accept-Encoding prefers gzip",
        "a proxy in front often does it, and a publisher who sees lengths learns of what is compressed with its content"),
    switch(DOORS, "receipts", "messages of the channel dialect list who was given them",
        "it costs memory a reader; few need it"),
    row(DOORS, "durable-streams", "on|off", "on", "channels are streams of the Durable Streams protocol, too, below /v1/stream/",
        "its clients need no other server; who may publish and read is decided as for every other path"),
    switch(TIME, "early-hints-http1", "103 Early Hints on HTTP/1.1 as well",
        "nginx before 1.29 takes a 103 for the answer and hangs"),
    switch(RUN, "presence", "/api/presence lists the named clients that wait on a channel; joins and leaves are messages on presence/{channel}",
        "it costs a look-up a wait, and messages; few need it"),
    switch(RUN, "demo", "publish `Broadcast message #n` to the channel `default`",
        "a server should say only what it was told"),
    row(RUN, "demo-interval-seconds", "S", "10", "time between two messages of --demo",
        "slow enough to watch each pattern take it"),
    row(RUN, "log", "FORMAT", "text", "log lines as text or json, to stderr; RUST_LOG filters them",
        "people read it first"),
    switch(RUN, "access-log", "a line of the log for each request, once its answer has ended (RUST_LOG filters it as `access`)",
        "a line costs as much as a poll, and a proxy in front often has such a log"),
    computed(row(RUN, "otlp-endpoint", "URL", "none", "OpenTelemetry collector that gets a span of each request, by OTLP over HTTP: http or https, to which /v1/traces is added; OTEL_EXPORTER_OTLP_ENDPOINT is the same",
        "spans need someone to send them to, and cost more than a line of the log")),
    row(RUN, "otlp-sample-ratio", "R", "1", "fraction of the traces that begin here whose spans are sent, from 0 to 1; other traces are sampled if their caller says so; OTEL_TRACES_SAMPLER with OTEL_TRACES_SAMPLER_ARG is the same",
        "the first look at a collector should show something; a busy server needs less"),
];
