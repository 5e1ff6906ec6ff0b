//! The stream against a client on rustls, over pipes of any size.

use std::future::poll_fn;
use std::time::Duration;

use poll_http::Timers;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;
use crate::tls::unfinished::Unfinished;

const LIMIT: Duration = Duration::from_secs(10);

struct Pair {
    server: TlsStream<DuplexStream>,
    client: ClientStream<DuplexStream>,
    memory: Memory,
}

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// Both ends after a handshake through a pipe of this size.
async fn pair(pipe: usize) -> Pair {
    pair_beside(pipe, &Memory::new(16 << 20), &Unfinished::default()).await
}

/// The same on an account that it shares with others.
async fn pair_beside(pipe: usize, memory: &Memory, unfinished: &Unfinished) -> Pair {
    let (server_config, client_config) = configs();
    let (near, far) = duplex(pipe);
    let memory = memory.clone();
    let session = UnbufferedServerConnection::new(server_config).unwrap();
    let waits = Waits { timers: Timers::new(), limit: LIMIT, unfinished: unfinished.clone() };
    let mut server = TlsStream::new(far, session, Vec::new(), waits, &memory);
    let connector = TlsConnector::from(client_config);
    let (client, accepted) = tokio::join!(
        connector.connect("localhost".try_into().unwrap(), near),
        poll_fn(|cx| server.poll_handshake(cx)),
    );
    accepted.unwrap();
    server.keep_session(&memory);
    Pair { server, client: client.unwrap(), memory }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn bytes_arrive_both_ways_whatever_the_pieces() {
    for (pipe, length) in [(1, 3_000), (7, 20_000), (1_000, 200_000), (1 << 20, 500_000)] {
        let Pair { server, client, memory } = pair(pipe).await;
        let (mut from_client, mut to_client) = tokio::io::split(server);
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let sent = bytes(length);
        let write = async |to: &mut (dyn AsyncWrite + Unpin + Send), sizes: [usize; 3]| {
            let (mut rest, mut sizes) = (&sent[..], sizes.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                to.write_all(piece).await.unwrap();
                rest = more;
            }
            to.shutdown().await.unwrap();
        };
        let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
        let (one, other, (), ()) = tokio::join!(
            from_client.read_to_end(&mut at_server),
            from_server.read_to_end(&mut at_client),
            write(&mut to_client, [1, 40_000, 300]),
            write(&mut to_server, [5_000, 16_385, 2]),
        );
        one.unwrap();
        // An end that was not told would be an error.
        other.unwrap();
        assert!(at_server == sent && at_client == sent, "through {pipe}");
        assert_eq!(memory.used(Kind::TlsBuffers), 0, "nothing is held");
        assert_eq!(memory.used(Kind::TlsSessions), SESSION_BYTES);
    }
}

#[tokio::test]
async fn more_is_accepted_only_as_the_peer_takes_it() {
    const PIPE: usize = 8 << 10;
    let Pair { mut server, client, memory } = pair(PIPE).await;
    let (mut raw, _) = client.into_inner();
    let accept = |server: &mut TlsStream<DuplexStream>| {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let (zeros, mut accepted) = (vec![0; 100_000], 0);
        while let Poll::Ready(written) = Pin::new(&mut *server).poll_write(cx, &zeros) {
            accepted += written.unwrap();
        }
        accepted
    };
    let first = accept(&mut server);
    assert!((PIPE..=PIPE + MOST).contains(&first), "{first}");
    assert_eq!(accept(&mut server), 0);
    assert_eq!(memory.used(Kind::TlsBuffers), 0);
    let held = memory.used(Kind::Answers);
    assert!(held > 0 && held <= 2 * MOST as u64, "{held}");
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut server).poll_flush(cx).is_pending());
    for taken in [3_000, 5_000, 8_000] {
        raw.read_exact(&mut vec![0; taken]).await.unwrap();
        let more = accept(&mut server);
        assert!(more <= taken && more + 2 * LEAST > taken, "{more} after {taken}");
    }
    // Once all is taken, nothing is held.
    let mut rest = vec![0; 1 << 20];
    while Pin::new(&mut server).poll_flush(cx).is_pending() {
        assert_ne!(raw.read(&mut rest).await.unwrap(), 0);
    }
    assert_eq!(memory.used(Kind::Answers), 0);
}

#[tokio::test]
async fn with_little_memory_left_less_is_encrypted_ahead() {
    let Pair { mut server, client, memory } = pair(1).await;
    let _others = memory.charge(Kind::Answers, memory.bound(Kind::Answers) / 4 + 1).unwrap();
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(accepted) = Pin::new(&mut server).poll_write(cx, &[0; 50_000]) else { panic!() };
    assert_eq!(accepted.unwrap(), FEW);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_record_has_its_time_and_so_does_the_next() {
    let Pair { mut server, client, memory } = pair(1 << 16).await;
    let (mut raw, mut session) = client.into_inner();
    let mut record = |text: &[u8]| {
        let mut bytes = Vec::new();
        std::io::Write::write_all(&mut session.writer(), text).unwrap();
        while session.wants_write() {
            session.write_tls(&mut bytes).unwrap();
        }
        bytes
    };
    let mut buffer = [0; 100];
    for text in [&b"one"[..], b"two"] {
        let bytes = record(text);
        let (begin, end) = bytes.split_at(7);
        raw.write_all(begin).await.unwrap();
        let early = tokio::time::timeout(LIMIT - Duration::from_secs(1), server.read(&mut buffer));
        assert!(early.await.is_err());
        assert!(memory.used(Kind::TlsBuffers) >= 7);
        raw.write_all(end).await.unwrap();
        let read = server.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..read], text);
        assert_eq!(memory.used(Kind::TlsBuffers), 0);
    }
    // Between records there is no limit of ours.
    assert!(tokio::time::timeout(LIMIT * 10, server.read(&mut buffer)).await.is_err());
    let bytes = record(b"three");
    raw.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    let error = server.read(&mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_partial_record_without_memory_for_it_is_an_error() {
    let Pair { mut server, client, memory } = pair(1 << 16).await;
    let (mut raw, _) = client.into_inner();
    let _others = memory.charge(Kind::TlsBuffers, memory.bound(Kind::TlsBuffers)).unwrap();
    raw.write_all(&[23, 3, 3, 0x40, 0, 1, 2, 3]).await.unwrap();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
}

#[tokio::test]
async fn a_part_of_a_record_gives_way_to_newer_ones_and_never_to_what_is_unsent_or_unread() {
    let (memory, unfinished) = (Memory::new(16 << 14), Unfinished::default());
    let bound = memory.bound(Kind::TlsBuffers);
    let mut pairs = Vec::new();
    // Half of the share each: the third has no room beside the first two.
    let begun = [&[23, 3, 3, 0x40, 0xff][..], &vec![0; 16 << 10][..bound as usize / 2 - 5]].concat();
    for number in 0..3 {
        let Pair { mut server, client, .. } = pair_beside(1 << 17, &memory, &unfinished).await;
        let (mut raw, _) = client.into_inner();
        // What others do not read is no reason to give way.
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        while Pin::new(&mut server).poll_write(cx, &[0; 50_000]).is_ready() {}
        raw.write_all(&begun[..begun.len() - number]).await.unwrap();
        pairs.push((server, raw));
    }
    for (server, _) in &mut pairs {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let read = Pin::new(server).poll_read(cx, &mut ReadBuf::new(&mut [0; 10]));
        assert!(read.is_pending(), "a part is here");
    }
    let mut reads = Vec::new();
    for (server, _) in &mut pairs {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let read = Pin::new(server).poll_read(cx, &mut ReadBuf::new(&mut [0; 10]));
        reads.push(match read {
            Poll::Ready(read) => read.err().map(|error| error.kind()),
            Poll::Pending => None,
        });
    }
    assert_eq!(reads, [Some(io::ErrorKind::OutOfMemory), None, None]);
    assert!(memory.used(Kind::Answers) > 2 * LEAST as u64, "and nothing is read");
    drop(pairs);
    assert_eq!(memory.used(Kind::TlsBuffers) + memory.used(Kind::Answers), 0);
}

#[tokio::test]
async fn what_is_no_record_is_answered_by_an_alert() {
    let Pair { mut server, client, .. } = pair(1 << 16).await;
    let (mut raw, mut session) = client.into_inner();
    let garbage = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
    raw.write_all(&garbage).await.unwrap();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut alert = vec![0; 1_000];
    let read = raw.read(&mut alert).await.unwrap();
    session.read_tls(&mut &alert[..read]).unwrap();
    let told = session.process_new_packets().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
}

#[tokio::test]
async fn parts_leave_in_one_record() {
    let Pair { mut server, mut client, .. } = pair(1 << 16).await;
    let parts = [b"".as_slice(), b"head, ", b"body, ", b"end"].map(IoSlice::new);
    let written = poll_fn(|cx| Pin::new(&mut server).poll_write_vectored(cx, &parts)).await.unwrap();
    assert_eq!(written, 15);
    let mut read = [0; 100];
    let length = client.read(&mut read).await.unwrap();
    assert_eq!(&read[..length], b"head, body, end");
}
