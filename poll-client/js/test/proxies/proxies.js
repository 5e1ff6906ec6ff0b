// Proxies in front of poll, each with what its package comes with and no more than the line that names poll, with the
// file that we ship, and where it has one with the setting that holds a stream back.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, until } from '../real/server.js';

const DEPLOY = new URL('../../../../deploy/', import.meta.url);

/** The text of a file that we ship, changed where `changes` say so. */
function shipped(name, changes) {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`${name} has no ${JSON.stringify(from)} any more`);
    return text.replaceAll(from, to);
  }, readFileSync(new URL(name, DEPLOY), 'utf8'));
}

const nginxHttp = (at, http) => `worker_processes 1; daemon off; pid ${at}/pid; error_log ${at}/log;
events { worker_connections 512; }
http {
  access_log off;
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `  ${kind}_temp_path ${at}/${kind};\n`).join('')}
${http}
}`;

// Debian's own, without what names users, sockets and files.
const HAPROXY_DEFAULTS = `defaults
  mode http
  option httplog
  option dontlognull
  timeout connect 5000
  timeout client 50000
  timeout server 50000
`;

const apache = (at, rest) => `ServerRoot ${at}
PidFile ${at}/pid
Mutex file:${at}
DefaultRuntimeDir ${at}
ErrorLog ${at}/log
ServerName localhost
User www-data
Group www-data
Timeout 300
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
IncludeOptional /etc/apache2/mods-enabled/*.load
IncludeOptional /etc/apache2/mods-enabled/*.conf
${['proxy', 'proxy_http', 'headers', 'asis'].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`).join('')}
${rest}`;

const squid = (at, rest) => `pid_filename ${at}/pid
cache_log ${at}/log
access_log none
coredump_dir ${at}
visible_hostname localhost
${rest}`;

/** `files(world)` gives the texts by name, of which `arguments` reads the first; `world` is where poll is, the port, and a folder. */
export const PROXIES = {
  nginx: {
    program: 'nginx',
    version: ['-v'],
    arguments: (file, at) => ['-p', at, '-c', file],
    bare: ({ at, port, poll }) => nginxHttp(at, `server { listen 127.0.0.1:${port}; location / { proxy_pass http://${poll}; } }`),
    buffering: ({ at, port, poll }) =>
      nginxHttp(at, `server { listen 127.0.0.1:${port}; location / { proxy_pass http://${poll}; proxy_ignore_headers X-Accel-Buffering; } }`),
    shipped: ({ at, port, poll }) =>
      nginxHttp(
        at,
        shipped('nginx.conf', [
          ['server 127.0.0.1:8080;', `server ${poll};`],
          ['listen 80;', `listen 127.0.0.1:${port};`],
          ['listen 443 ssl http2;', ''],
          ['ssl_certificate /etc/ssl/certs/poll.pem;', ''],
          ['ssl_certificate_key /etc/ssl/private/poll.key;', ''],
        ]).replace(/^[^]*?\nhttp \{\n([^]*)\}\n$/, '$1'),
      ),
  },
  HAProxy: {
    program: 'haproxy',
    version: ['-v'],
    arguments: (file) => ['-db', '-f', file],
    bare: ({ port, poll }) => `global\n  maxconn 512\n${HAPROXY_DEFAULTS}frontend f\n  bind 127.0.0.1:${port}\n  default_backend b\nbackend b\n  server poll ${poll}\n`,
    shipped: ({ port, poll }) =>
      shipped('haproxy.cfg', [
        ['maxconn 32768', 'maxconn 512'],
        ['bind :80 ', `bind 127.0.0.1:${port} `],
        ['bind :443 ssl crt /etc/ssl/private/poll.pem alpn h2,http/1.1', ''],
        ['server poll 127.0.0.1:8080 ', `server poll ${poll} `],
      ]),
  },
  Varnish: {
    program: 'varnishd',
    version: ['-V'],
    arguments: (file, at, port) => ['-F', '-j', 'none', '-s', 'malloc,16m', '-p', 'pipe_timeout=130', '-n', join(at, 'work'), '-f', file, '-a', `127.0.0.1:${port}`],
    bare: (world) => `vcl 4.1;\n${backend(world)}`,
    buffering: (world) => `vcl 4.1;\n${backend(world)}sub vcl_backend_response { set beresp.do_stream = false; }\n`,
    shipped: ({ poll }) =>
      shipped('varnish.vcl', [
        ['.host = "127.0.0.1"', `.host = "${poll.split(':')[0]}"`],
        ['.port = "8080"', `.port = "${poll.split(':')[1]}"`],
      ]),
  },
  Caddy: {
    program: 'caddy',
    version: ['version'],
    arguments: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
    bare: ({ port, poll }) => `{\n\tadmin off\n}\nhttp://127.0.0.1:${port} {\n\treverse_proxy ${poll}\n}\n`,
    buffering: ({ port, poll }) => `{\n\tadmin off\n}\nhttp://127.0.0.1:${port} {\n\treverse_proxy ${poll} {\n\t\tbuffer_responses\n\t}\n}\n`,
    shipped: ({ port, poll }) =>
      `{\n\tadmin off\n}\n${shipped('Caddyfile', [
        ['poll.example.com {', `http://127.0.0.1:${port} {`],
        ['reverse_proxy 127.0.0.1:8080', `reverse_proxy ${poll}`],
      ])}`,
  },
  Squid: {
    program: 'squid',
    version: ['-v'],
    arguments: (file) => ['-N', '-f', file],
    bare: ({ at, port, poll }) =>
      squid(at, `max_filedescriptors 1024\nhttp_port 127.0.0.1:${port} accel vhost\ncache_peer ${poll.replace(':', ' parent ')} 0 no-query originserver\nhttp_access allow all\nnever_direct allow all\n`),
    shipped: ({ at, port, poll }) =>
      squid(
        at,
        shipped('squid.conf', [
          ['http_port 80 ', `http_port 127.0.0.1:${port} `],
          ['cache_peer 127.0.0.1 parent 8080 ', `cache_peer ${poll.replace(':', ' parent ')} `],
          ['dstdomain poll.example.com', 'dstdomain 127.0.0.1'],
          ['error_directory /etc/squid/poll', `error_directory ${DEPLOY.pathname}`],
          ['max_filedescriptors 65536', 'max_filedescriptors 1024'],
        ]),
      ),
  },
  Apache: {
    program: 'apache2',
    version: ['-v'],
    arguments: (file) => ['-D', 'FOREGROUND', '-f', file],
    bare: ({ at, port, poll }) => apache(at, `Listen 127.0.0.1:${port}\nProxyPass / http://${poll}/\n`),
    shipped: ({ at, port, poll }) =>
      apache(
        at,
        `Listen 127.0.0.1:${port}\n${shipped('apache.conf', [
          ['ServerLimit 64', 'ServerLimit 4'],
          ['MaxRequestWorkers 4096', 'MaxRequestWorkers 256'],
          ['*:80', `127.0.0.1:${port}`],
          ['127.0.0.1:8080', poll],
          ['/etc/apache2/apache-away.asis', new URL('apache-away.asis', DEPLOY).pathname],
        ])}`,
      ),
  },
};

function backend({ poll }) {
  const [host, port] = poll.split(':');
  return `backend poll { .host = "${host}"; .port = "${port}"; }\n`;
}

const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill();
});

/** Where a server's program is: servers live in a folder that only root has in its path. */
const programOf = (name) => (existsSync(`/usr/sbin/${name}`) ? `/usr/sbin/${name}` : name);

/** A running proxy in front of `poll`, a host and port. */
export class Proxy {
  static async start(name, kind, poll) {
    const proxy = Object.assign(new Proxy(), { name, kind, said: '' });
    const { program, arguments: argumentsOf, [kind]: text } = PROXIES[name];
    proxy.folder = await mkdtemp(join(tmpdir(), 'poll-proxy-'));
    // Those that are started as root take another name, and write here all the same.
    await chmod(proxy.folder, 0o777);
    const port = await freePort();
    proxy.host = `127.0.0.1:${port}`;
    proxy.address = `http://${proxy.host}`;
    const file = join(proxy.folder, 'configuration');
    await writeFile(file, text({ at: proxy.folder, port, poll }));
    proxy.child = spawn(programOf(program), argumentsOf(file, proxy.folder, port), { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: proxy.folder } });
    children.add(proxy.child);
    for (const stream of [proxy.child.stdout, proxy.child.stderr]) stream.on('data', (bytes) => (proxy.said = (proxy.said + bytes).slice(-2000)));
    await until(() => proxy.child.exitCode !== null || listens(port), `${name} (${kind}) listens`, 60_000);
    if (proxy.child.exitCode !== null) throw new Error(`${name} (${kind}) ended: ${proxy.said}`);
    return proxy;
  }

  async close() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, 'exit');
      // Squid lets connections go on for half a minute when it is asked kindly.
      this.child.kill(this.name === 'Squid' ? 'SIGINT' : 'SIGTERM');
      await ended;
    }
    children.delete(this.child);
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function versionOf(name) {
  const { program, version } = PROXIES[name];
  const said = execFileSync('sh', ['-c', '"$0" "$@" 2>&1', programOf(program), ...version], { encoding: 'utf8' });
  return said.match(/\d+\.\d+(\.\d+)?/)?.[0] ?? '?';
}

const listens = (port) =>
  new Promise((done) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => done(true)).on('error', () => done(false));
    socket.on('connect', () => socket.destroy());
  });
