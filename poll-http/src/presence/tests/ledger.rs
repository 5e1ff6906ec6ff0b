//! Records against a model: a client is present while it is at one server, and each change is told once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use poll_core::{ChannelName, Cursor, Epoch, Kind, Memory, Seq, Timestamp};
use proptest::prelude::*;

use crate::presence::ledger::{Event, Ledger};
use crate::presence::record::{Ended, Names, Node, Part, Record};

fn channel() -> ChannelName {
    ChannelName::parse("c").unwrap()
}

fn names(clients: &[&str], since: u64) -> Names {
    let mut names = Names::default();
    clients.iter().for_each(|client| names.add(&channel(), client, Timestamp::from_micros(since)));
    names
}

/// A ledger and the log that it reads.
struct Log {
    ledger: Ledger,
    seq: u64,
}

impl Log {
    fn new() -> Self {
        Self { ledger: Ledger::new(Memory::new(0)), seq: 0 }
    }

    fn write(&mut self, record: &Record) -> Vec<Node> {
        self.seq += 1;
        let end = Cursor { epoch: Epoch::new(9), seq: Seq::new(self.seq) };
        // As it is read back.
        let payload = record.payload().unwrap();
        let record: Record = serde_json::from_slice(payload.as_bytes()).unwrap();
        self.ledger.apply(end, Timestamp::from_micros(self.seq), &record)
    }

    fn present(&self) -> Vec<Arc<str>> {
        self.ledger.present(&channel()).into_keys().collect()
    }

    /// What is to be told: `+` and `-` with the client, after the number of the record.
    fn untold(&self) -> Vec<String> {
        let sign = |event| if event == Event::Join { '+' } else { '-' };
        let all = self.ledger.untold(usize::MAX).into_iter();
        all.map(|told| format!("{}{}{}", told.record.seq.get(), sign(told.event), told.client)).collect()
    }
}

const A: u128 = 1;
const B: u128 = 2;

fn of(node: u128) -> Record {
    Record::of(Node::from(node))
}

#[test]
fn a_client_at_two_servers_joins_and_leaves_once() {
    let mut log = Log::new();
    log.write(&Record { joined: names(&["x", "y"], 5), ..of(A) });
    log.write(&Record { joined: names(&["x"], 7), ..of(B) });
    log.write(&Record { left: names(&["x"], 5), ..of(A) });
    assert_eq!((log.untold(), log.present().len()), (vec!["1+x".to_owned(), "1+y".into()], 2));
    assert_eq!(log.ledger.present(&channel())["x"], Timestamp::from_micros(5));
    log.write(&Record { left: names(&["x"], 7), told: Some(1), ..of(B) });
    assert_eq!((log.untold(), log.present()), (vec!["4-x".to_owned()], vec!["y".into()]));
    assert_eq!(log.ledger.told(), 3);
    log.ledger.set_told(1);
    assert_eq!((log.untold().len(), log.ledger.told()), (0, 4));
}

#[test]
fn the_end_of_a_server_takes_its_clients_along_unless_it_was_heard_meanwhile() {
    let mut log = Log::new();
    log.write(&Record { joined: names(&["x"], 1), ..of(A) });
    log.write(&Record { joined: names(&["y"], 1), ..of(B) });
    log.write(&of(A));
    let end = |last| Record { ended: vec![Ended { node: Node::from(A), last }], ..of(B) };
    assert_eq!(log.ledger.teller(), Some(Node::from(A)), "the first one tells");
    assert_eq!(log.write(&end(1)), [], "it wrote a record since");
    assert_eq!(log.write(&end(3)), [Node::from(A)]);
    assert_eq!(log.write(&end(3)), [], "a second server found the same");
    assert_eq!(
        (log.untold(), log.present()),
        (vec!["1+x".into(), "2+y".into(), "5-x".to_owned()], vec!["y".into()])
    );
    assert_eq!(log.ledger.teller(), Some(Node::from(B)), "the next one tells what the first did not");
    assert!(log.ledger.is_alone(Node::from(B)));
    // It only stood still.
    log.write(&Record { joined: names(&["x"], 1), list: Some(Part::Whole), ..of(A) });
    assert_eq!((log.present().len(), log.ledger.teller()), (2, Some(Node::from(B))));
}

#[test]
fn a_list_replaces_what_was_known_of_its_server() {
    let mut log = Log::new();
    log.write(&Record { joined: names(&["x", "y"], 1), ..of(A) });
    log.write(&Record { joined: names(&["x"], 1), ..of(B) });
    log.write(&Record { joined: names(&["z"], 1), list: Some(Part::First), ..of(A) });
    assert_eq!(log.present().len(), 3, "the rest of the list is on its way");
    log.write(&Record { list: Some(Part::Middle), ..of(A) });
    log.write(&Record { joined: names(&["v"], 1), list: Some(Part::Last), ..of(A) });
    assert_eq!(log.present(), ["v", "x", "z"].map(Arc::<str>::from), "x is at the other");
    assert_eq!(log.untold(), ["1+x", "1+y", "3+z", "5+v", "5-y"]);
}

#[test]
fn without_memory_a_client_is_left_out_and_counted() {
    let memory = Memory::new(8 * 600);
    let mut ledger = Ledger::new(memory.clone());
    let end = Cursor { epoch: Epoch::new(9), seq: Seq::new(1) };
    ledger.apply(end, Timestamp::ZERO, &Record { joined: names(&["x", "y", "z", "zz"], 1), ..of(A) });
    let present = ledger.present(&channel()).len() as u64;
    assert!((1..4).contains(&present));
    assert_eq!(ledger.take_refused(), 4 - present);
    drop(ledger);
    assert_eq!(memory.used(Kind::Presence), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Join(u128, u8),
    Leave(u128, u8),
    List(u128, Vec<u8>),
    End(u128),
    Late(u128),
    Tell(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (node, client) = (|| 0..3_u128, || 0..3_u8);
    let step = prop_oneof![
        4 => (node(), client()).prop_map(|(node, client)| Step::Join(node, client)),
        4 => (node(), client()).prop_map(|(node, client)| Step::Leave(node, client)),
        1 => (node(), proptest::collection::vec(client(), 0..3)).prop_map(|(node, all)| Step::List(node, all)),
        1 => node().prop_map(Step::End),
        1 => node().prop_map(Step::Late),
        2 => (0..3_usize).prop_map(Step::Tell),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Two servers read the same records; one of them tells now and then. Both know the same, and what is told alternates
    /// between join and leave for each client and ends where the client is.
    #[test]
    fn all_servers_agree_and_each_change_is_told_once(steps in steps()) {
        let (mut one, mut two) = (Log::new(), Log::new());
        let mut model = BTreeMap::<u128, BTreeSet<String>>::new();
        let mut told = Vec::new();
        let mut last = BTreeMap::<u128, u64>::new();
        for step in steps {
            let name = |client: u8| format!("n{client}");
            let (node, record) = match step {
                Step::Tell(most) => {
                    let some = one.ledger.untold(most);
                    one.ledger.set_told(some.len());
                    told.extend(some);
                    (0, Record { told: Some(one.ledger.told()), ..of(0) })
                }
                Step::Join(node, client) => {
                    model.entry(node).or_default().insert(name(client));
                    (node, Record { joined: names(&[&name(client)], 1), ..of(node) })
                }
                Step::Leave(node, client) => {
                    model.entry(node).or_default().remove(&name(client));
                    (node, Record { left: names(&[&name(client)], 1), ..of(node) })
                }
                Step::List(node, all) => {
                    let all: BTreeSet<String> = all.into_iter().map(name).collect();
                    let clients: Vec<&str> = all.iter().map(String::as_str).collect();
                    let record = Record { joined: names(&clients, 1), list: Some(Part::Whole), ..of(node) };
                    model.insert(node, all);
                    (node, record)
                }
                Step::End(node) | Step::Late(node) => {
                    let late = matches!(step, Step::Late(_));
                    let seen = last.get(&node).copied().unwrap_or_default();
                    let ended = Ended { node: Node::from(node), last: seen - u64::from(late && seen > 0) };
                    if !late {
                        model.remove(&node);
                    }
                    (9, Record { ended: vec![ended], ..of(9) })
                }
            };
            prop_assert_eq!(one.write(&record), two.write(&record));
            last.insert(node, one.seq);
            let expected: BTreeSet<Arc<str>> = model.values().flatten().map(|name| name.as_str().into()).collect();
            prop_assert_eq!(one.present().into_iter().collect::<BTreeSet<_>>(), expected);
            prop_assert_eq!(one.present(), two.present());
            prop_assert_eq!(one.ledger.teller(), two.ledger.teller());
        }
        told.extend(one.ledger.untold(usize::MAX));
        let mut there = BTreeSet::new();
        for change in told {
            let is_news = match change.event {
                Event::Join => there.insert(change.client),
                Event::Leave => there.remove(&change.client),
            };
            prop_assert!(is_news, "told twice");
        }
        prop_assert_eq!(there, one.present().into_iter().collect::<BTreeSet<_>>());
    }
}
